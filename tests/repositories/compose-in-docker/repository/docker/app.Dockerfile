FROM node:22-alpine AS deps
WORKDIR /srv
COPY package.json package-lock.json ./
RUN npm ci
COPY drizzle ./drizzle
COPY drizzle.config.ts tsconfig.json ./

FROM deps AS build
COPY src ./src
RUN npm run build

FROM node:22-alpine
WORKDIR /srv
ENV NODE_ENV=production
COPY --from=build /srv/dist ./dist
COPY --from=build /srv/node_modules ./node_modules
HEALTHCHECK --interval=10s --timeout=3s \
  CMD wget --quiet --spider http://127.0.0.1:4000/healthz || exit 1
CMD ["node", "dist/server.js"]
