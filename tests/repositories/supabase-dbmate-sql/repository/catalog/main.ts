Deno.serve({ port: 4000 }, (request) => {
  const { pathname } = new URL(request.url);
  return new Response(pathname === "/health" ? "ok" : "catalog");
});
