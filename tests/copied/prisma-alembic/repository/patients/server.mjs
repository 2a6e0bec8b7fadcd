import http from "node:http";
import { PrismaPg } from "@prisma/adapter-pg";
import client from "@prisma/client";

const prisma = new client.PrismaClient({ adapter: new PrismaPg({ connectionString: process.env.DATABASE_URL }) });

const routes = {
  "GET /health": async () => ({ healthy: true }),
  "GET /patients": () => prisma.patient.findMany({ include: { notes: true }, orderBy: { name: "asc" } }),
  "POST /patients": ({ name, note }) => prisma.patient.create({ data: { name, notes: { create: { text: note } } } }),
};

http
  .createServer(async (req, res) => {
    const route = routes[`${req.method} ${req.url}`];
    if (!route) return res.writeHead(404).end();
    try {
      let text = "";
      for await (const chunk of req) text += chunk;
      const found = await route(text ? JSON.parse(text) : {});
      res.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(found));
    } catch (error) {
      console.error(error);
      res.writeHead(500).end();
    }
  })
  .listen(3000);
