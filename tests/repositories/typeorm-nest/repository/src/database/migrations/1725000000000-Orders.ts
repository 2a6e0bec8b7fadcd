import { MigrationInterface, QueryRunner } from 'typeorm';

export class Orders1725000000000 implements MigrationInterface {
  async up(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.query(`CREATE TABLE "order" ("id" SERIAL PRIMARY KEY, "total" numeric NOT NULL)`);
  }

  async down(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.query(`DROP TABLE "order"`);
  }
}
