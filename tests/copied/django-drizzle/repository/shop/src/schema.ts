import { bigint, integer, pgTable, text, timestamp } from "drizzle-orm/pg-core";

export const buyers = pgTable("buyers", {
  id: integer().primaryKey().generatedAlwaysAsIdentity(),
  email: text().notNull().unique(),
});

export const orders = pgTable("orders", {
  id: integer().primaryKey().generatedAlwaysAsIdentity(),
  buyerId: integer("buyer_id")
    .notNull()
    .references(() => buyers.id),
  // an event of the backend: no foreign key, it is Django's table
  eventId: bigint("event_id", { mode: "number" }).notNull(),
  createdAt: timestamp("created_at", { withTimezone: true }).notNull().defaultNow(),
});
