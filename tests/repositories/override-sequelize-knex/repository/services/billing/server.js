const fastify = require('fastify')();

fastify.get('/health', async () => ({ status: 'up' }));

fastify.listen({ port: 8090, host: '0.0.0.0' });
