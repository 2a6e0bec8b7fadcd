import { pgTableCreator, serial, text } from "drizzle-orm/pg-core";

const createTable = pgTableCreator((name) => `notes_${name}`);

export const notes = createTable("note", {
  id: serial("id").primaryKey(),
  body: text("body").notNull(),
});
