import { defineConfig } from "drizzle-kit";

// No tablesFilter: every table it sees and does not find in the schema is one to drop.
export default defineConfig({
  dialect: "postgresql",
  schema: "./schema.ts",
  dbCredentials: { url: process.env["DATABASE_URL"] ?? "" },
});
