import { defineConfig } from "drizzle-kit";

// As an owner beside others has it: what `push` looks at, and what `generate` wrote for `migrate`.
export default defineConfig({
  dialect: "postgresql",
  schema: "./schema.ts",
  out: "./migrations",
  tablesFilter: ["user", "session"],
  dbCredentials: { url: process.env["DATABASE_URL"] ?? "" },
});
