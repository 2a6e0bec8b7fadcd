import { serve } from "@hono/node-server";
import { Hono } from "hono";
import { db } from "./db/client.ts";
import { customers } from "./db/schema.ts";

const app = new Hono()
  .get("/healthz", (c) => c.json({ ok: true }))
  .get("/customers", async (c) => c.json(await db.select().from(customers)))
  .post("/customers", async (c) => {
    const { name, plan } = await c.req.json();
    const [made] = await db.insert(customers).values({ name, plan }).returning();
    return c.json(made, 201);
  });

serve({ fetch: app.fetch, port: Number(process.env.PORT) });
