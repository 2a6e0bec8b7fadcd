import { defineConfig } from "drizzle-kit";

import { tables } from "./src/db/tables";

export default defineConfig({
  dialect: "postgresql",
  schema: "./src/db/schema",
  out: "./src/db/migrations",
  tablesFilter: tables.map((table) => table.name),
  migrations: { table: "auth_migrations", schema: "public" },
  dbCredentials: { url: process.env["AUTH_DATABASE_URL"]! },
});
