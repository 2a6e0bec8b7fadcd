import { createServer } from "node:http";
import { PrismaPg } from "@prisma/adapter-pg";
import { PrismaClient } from "@prisma/client";

const prisma = new PrismaClient({ adapter: new PrismaPg({ connectionString: process.env.DATABASE_URL }) });

async function body(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return JSON.parse(Buffer.concat(parts).toString());
}

function send(response, status, value) {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
}

const server = createServer(async (request, response) => {
  try {
    if (request.url === "/health") {
      send(response, 200, { status: "ok" });
    } else if (request.url === "/recipes" && request.method === "GET") {
      send(response, 200, await prisma.recipe.findMany({ orderBy: { id: "asc" } }));
    } else if (request.url === "/recipes" && request.method === "POST") {
      const { title, author } = await body(request);
      const data = { title, author: { connectOrCreate: { where: { name: author }, create: { name: author } } } };
      send(response, 201, await prisma.recipe.create({ data }));
    } else {
      send(response, 404, { error: "not found" });
    }
  } catch (error) {
    console.error(error);
    send(response, 500, { error: "internal error" });
  }
});

server.listen(3000, () => console.log("frontend listens on 3000"));
process.on("SIGTERM", () => server.close(() => process.exit(0)));
