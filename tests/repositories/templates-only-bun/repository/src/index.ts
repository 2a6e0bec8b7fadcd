import { Elysia } from "elysia";

const app = new Elysia().get("/", () => "notes").get("/health", () => "ok").listen(3000);

console.log(`http://localhost:${app.server?.port}`);
