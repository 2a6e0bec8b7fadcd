import { NextResponse, type NextRequest } from "next/server";

import { readEnv } from "./env.ts";

/** Gives every page a Content-Security-Policy with a nonce of its own; Next puts that nonce on the scripts it writes. */
export function proxy(request: NextRequest): NextResponse {
  const nonce = crypto.randomUUID();
  const development = process.env.NODE_ENV === "development";
  const policy = [
    "default-src 'self'",
    `script-src 'self' 'nonce-${nonce}' 'strict-dynamic'${development ? " 'unsafe-eval'" : ""}`,
    `style-src 'self' ${development ? "'unsafe-inline'" : `'nonce-${nonce}'`}`,
    "object-src 'none'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
    // A sign-in form ends at the dashboard, and browsers apply this to the redirects that follow a form as well.
    `form-action 'self' ${readEnv().webUrl}`,
  ].join("; ");

  const headers = new Headers(request.headers);
  headers.set("Content-Security-Policy", policy);
  const response = NextResponse.next({ request: { headers } });
  response.headers.set("Content-Security-Policy", policy);
  return response;
}

export const config = { matcher: ["/((?!api/|_next/|icon.svg).*)"] };
