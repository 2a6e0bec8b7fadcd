CREATE TABLE "items" (
	"id" serial PRIMARY KEY NOT NULL,
	"sku" text NOT NULL,
	"count" integer DEFAULT 0 NOT NULL
);
