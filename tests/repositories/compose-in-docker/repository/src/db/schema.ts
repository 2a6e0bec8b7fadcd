import { integer, pgTable, serial, text } from 'drizzle-orm/pg-core';

export const items = pgTable('items', {
  id: serial('id').primaryKey(),
  sku: text('sku').notNull(),
  count: integer('count').notNull().default(0),
});
