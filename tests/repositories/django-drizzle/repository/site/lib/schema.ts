import { pgTable, serial, varchar } from "drizzle-orm/pg-core";

export const pages = pgTable("site_pages", {
  id: serial("id").primaryKey(),
  slug: varchar("slug", { length: 120 }).notNull(),
});
