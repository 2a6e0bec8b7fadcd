import { integer, pgTable, text } from "drizzle-orm/pg-core";

// What the sources get next; each makes drizzle-kit ask something.
const next = process.env["ATTACK_SCHEMA"];

export const user = pgTable("user", {
  id: text("id").primaryKey(),
  email: text("email").notNull().unique(),
  ...(next === "new-column" ? { age: integer("age").notNull() } : {}),
});

export const session = pgTable("session", {
  id: text("id").primaryKey(),
  userId: text("user_id")
    .notNull()
    .references(() => user.id, { onDelete: "cascade" }),
});

export const profile = next === "new-table" ? pgTable("profile", { bio: text("bio").primaryKey() }) : undefined;
