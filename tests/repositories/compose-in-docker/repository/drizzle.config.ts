import { defineConfig } from 'drizzle-kit';

if (!process.env.DATABASE_URL) {
  throw new Error('DATABASE_URL is not set');
}

export default defineConfig({
  out: './drizzle',
  schema: ['./src/db/schema.ts', './src/db/views.ts'],
  dialect: 'postgresql',
  schemaFilter: ['public'],
  // dialect: 'sqlite',
  dbCredentials: { url: process.env.DATABASE_URL },
});
