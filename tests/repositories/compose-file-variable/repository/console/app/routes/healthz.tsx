export const loader = () => new Response("OK");
