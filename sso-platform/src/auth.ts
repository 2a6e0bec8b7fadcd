import { createHash } from "node:crypto";

import { oauthProvider } from "@better-auth/oauth-provider";
import { createAuthMiddleware } from "better-auth/api";
import { betterAuth } from "better-auth/minimal";
import { jwt } from "better-auth/plugins/jwt";

import { createAdapter } from "./db/adapter.ts";
import { minPasswordLength, readEnv, type Env } from "./env.ts";
import { endSessionOfBrowser } from "./sessions.ts";

/** What the dashboard is registered as. */
export const webClientId = "taskflow-web";
export const scopes = ["openid", "profile", "email"];

/** How a client's secret is stored. Plain SHA-256 is enough for a long random secret; passwords get scrypt from better-auth. */
export function hashClientSecret(secret: string): string {
  return createHash("sha256").update(secret).digest("base64url");
}

function createAuth(env: Env) {
  return betterAuth({
    appName: "Taskflow sign-in",
    baseURL: env.ssoUrl,
    secret: env.authSecret,
    trustedOrigins: [env.webUrl],
    database: createAdapter(),
    emailAndPassword: { enabled: true, minPasswordLength },
    // Only the OAuth flow hands out tokens for the API, so the JWT plugin's own short cut is closed.
    disabledPaths: ["/token"],
    // Kept in memory, which is right for one process; several need `storage: "database"` and its table. Pages and endpoints are
    // built separately, so each of the two counts for itself. All calls to /oauth2/token come from the dashboard's address.
    rateLimit: {
      enabled: true,
      window: 60,
      max: 300,
      customRules: {
        "/sign-in/*": { window: 60, max: 20 },
        "/sign-up/*": { window: 60, max: 20 },
        "/oauth2/authorize": { window: 60, max: 120 },
        "/oauth2/token": { window: 60, max: 300 },
        // The dashboard asks with every page whether the session has ended; it shows its client secret.
        "/oauth2/introspect": false,
      },
    },
    hooks: {
      // better-auth's own sign-out says that it worked when the database did not answer. This one comes before it, and throws.
      before: createAuthMiddleware(async (ctx) => {
        if (ctx.path === "/sign-out") await endSessionOfBrowser(ctx);
      }),
    },
    databaseHooks: {
      // A new sign-in takes the cookie's place in this browser. The old session would live on, for whoever has a copy of it.
      session: { create: { before: async (_, ctx) => (ctx ? endSessionOfBrowser(ctx) : undefined) } },
    },
    advanced: {
      // Browsers share cookies between the ports of localhost: a name of our own keeps them apart from other services'.
      cookiePrefix: "taskflow-sso",
      defaultCookieAttributes: { httpOnly: true, sameSite: "lax" },
    },
    onAPIError: { errorURL: `${env.ssoUrl}/failed` },
    logger: { disableColors: true },
    telemetry: { enabled: false },
    plugins: [
      jwt({
        jwks: { keyPairConfig: { alg: "EdDSA", crv: "Ed25519" } },
        jwt: { issuer: env.ssoUrl },
        disableSettingJwtHeader: true,
      }),
      oauthProvider({
        loginPage: "/sign-in",
        signup: { page: "/sign-up" },
        // There is no such page: the only client is our own dashboard, which needs no consent. Others end in a 404.
        consentPage: "/consent",
        scopes,
        grantTypes: ["authorization_code"],
        accessTokenExpiresIn: 3600,
        enforcePerClientResources: true,
        // Without these everyone with an account may register clients, with redirect addresses of their choice, and APIs.
        clientPrivileges: () => false,
        resourcePrivileges: () => false,
        storeClientSecret: { hash: async (secret) => hashClientSecret(secret) },
        customAccessTokenClaims: ({ user }) => (user ? { email: user.email, name: user.name } : {}),
      }),
    ],
  });
}

let auth: ReturnType<typeof createAuth> | undefined;

/** better-auth, made on first use, so that importing this file needs no environment. */
export function getAuth() {
  return (auth ??= createAuth(readEnv()));
}
