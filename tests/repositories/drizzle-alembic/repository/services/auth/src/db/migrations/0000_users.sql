CREATE TABLE "users" ("id" text PRIMARY KEY NOT NULL, "email" text NOT NULL);
