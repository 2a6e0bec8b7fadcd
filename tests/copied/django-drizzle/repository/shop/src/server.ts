import { serve } from "@hono/node-server";
import { Hono } from "hono";
import { db } from "./database.ts";
import { buyers, orders } from "./schema.ts";

const app = new Hono();

app.get("/api/health", (c) => c.json({ status: "ok" }));

app.get("/orders", async (c) => c.json(await db.select().from(orders).orderBy(orders.id)));

app.post("/orders", async (c) => {
  const { email, eventId } = await c.req.json();
  const order = await db.transaction(async (tx) => {
    const [buyer] = await tx
      .insert(buyers)
      .values({ email })
      .onConflictDoUpdate({ target: buyers.email, set: { email } })
      .returning();
    const [made] = await tx.insert(orders).values({ buyerId: buyer!.id, eventId }).returning();
    return made;
  });
  return c.json(order, 201);
});

serve({ fetch: app.fetch, port: 3000 });
