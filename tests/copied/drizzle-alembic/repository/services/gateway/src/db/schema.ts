import { pgEnum, pgTable, text, timestamp, uuid } from "drizzle-orm/pg-core";

export const plan = pgEnum("plan", ["free", "team", "enterprise"]);

export const customers = pgTable("customers", {
  id: uuid("id").primaryKey().defaultRandom(),
  name: text("name").notNull(),
  plan: plan("plan").notNull().default("free"),
  createdAt: timestamp("created_at", { withTimezone: true }).notNull().defaultNow(),
});
