import { pgTable, serial, text } from 'drizzle-orm/pg-core';

export const plan = pgTable('plan', { id: serial('id').primaryKey(), title: text('title') });
