import { PrismaPg } from "@prisma/adapter-pg";
import { defineConfig } from "prisma/config";

// No native engine in the image: everything goes through node-postgres. (Its adapter is 7, that of 6.19 cannot read
// the catalog.)
export default defineConfig({
  schema: "prisma/schema.prisma",
  experimental: { adapter: true },
  engine: "js",
  adapter: async () => new PrismaPg({ connectionString: process.env.DATABASE_URL }),
});
