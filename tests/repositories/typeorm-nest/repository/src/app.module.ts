import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';

import { dataSourceOptions } from './database/data-source';
import { HealthController } from './health/health.controller';

@Module({
  imports: [TypeOrmModule.forRoot(dataSourceOptions)],
  controllers: [HealthController],
})
export class AppModule {}
