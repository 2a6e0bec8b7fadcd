import { defineConfig } from "drizzle-kit";

import { tableNames, tablesFilterOf } from "./src/db/tables.ts";

// The database may be shared. To drizzle-kit every table it sees and does not find in the schema is one to drop: an empty one
// without a question, one with rows after a prompt. An allowlist of our own tables is what keeps it from seeing the others'.
// It is derived from the schema, because a table forgotten in a list kept by hand would be "created" on every push.
export default defineConfig({
  dialect: "postgresql",
  schema: "./src/db/schema.ts",
  tablesFilter: tablesFilterOf(tableNames),
  dbCredentials: { url: process.env["DATABASE_URL"] ?? "" },
});
