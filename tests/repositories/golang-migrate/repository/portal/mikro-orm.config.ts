import { defineConfig } from "@mikro-orm/postgresql";

export default defineConfig({
  clientUrl: process.env.DATABASE_URL,
  entities: ["dist/entities/**/*.js"],
  entitiesTs: ["src/entities/**/*.ts"],
  schemaGenerator: { ignoreSchema: ["audit"] },
});
