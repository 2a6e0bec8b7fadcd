import type { Config } from "drizzle-kit";

export default {
  schema: "./lib/schema.ts",
  driver: "pg",
  dbCredentials: {
    connectionString: process.env.POSTGRES_URL as string,
  },
  tablesFilter: ["site_*"],
} satisfies Config;
