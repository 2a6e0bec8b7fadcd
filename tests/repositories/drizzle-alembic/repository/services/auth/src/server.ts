import { serve } from "@hono/node-server";
import { Hono } from "hono";

const app = new Hono();

app.get("/livez", (c) => c.text("ok"));
app.get("/readyz", (c) => c.text("ok"));
serve({ fetch: app.fetch, port: 3001 });
