import { serve } from "@hono/node-server";
import { db, links, users } from "@linkshelf/db";
import { Hono } from "hono";

const app = new Hono();

app.get("/health", (c) => c.text("ok"));

app.get("/links", async (c) => c.json(await db.select().from(links).orderBy(links.id)));

app.post("/links", async (c) => {
  const { email, url, title } = await c.req.json();
  const [user] = await db
    .insert(users)
    .values({ email })
    .onConflictDoUpdate({ target: users.email, set: { email } })
    .returning();
  const [link] = await db.insert(links).values({ userId: user!.id, url, title }).returning();
  return c.json(link, 201);
});

serve({ fetch: app.fetch, port: Number(process.env.PORT ?? 3000) }, ({ port }) => {
  console.log(`web listens on ${port}`);
});
