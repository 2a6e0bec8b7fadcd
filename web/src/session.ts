/**
 * What the browser keeps for us: three cookies, all HttpOnly. The session's is a random key to what this process keeps, so that
 * a copy of it is worth nothing once the session has ended. That of a sign-in under way is encrypted (JWE, A256GCM).
 */
import { hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto'
import type { Context } from 'hono'
import { deleteCookie, getCookie, setCookie } from 'hono/cookie'
import { EncryptJWT, jwtDecrypt } from 'jose'
import type { Settings } from './settings.ts'

export interface Session {
  readonly accessToken: string
  /** Handed back to the SSO at sign-out, so that it knows which of its sessions to end. */
  readonly idToken: string
  /** When the access token ends, in seconds since 1970. */
  readonly expiresAt: number
  /** When the person came back from the SSO, in seconds since 1970. */
  readonly signedInAt: number
  /** They were sent there because the API had refused the token before. */
  readonly retry: boolean
  /** Every form of this session carries this token; see app.ts. */
  readonly csrf: string
}

/** What a sign-in under way has to remember until the SSO sends the browser back. */
export interface PendingSignIn {
  readonly state: string
  readonly nonce: string
  readonly codeVerifier: string
  readonly returnTo: string
  readonly retry: boolean
}

// Cookies are shared between all ports of a host, so the names say whose they are.
const SESSION = 'taskflow_web_session'
const SIGN_IN = 'taskflow_web_signin'
const FLASH = 'taskflow_web_flash'

const MINUTE = 60
const DAY = 24 * 60 * MINUTE
/** Browsers drop a cookie above 4096 bytes without a word, its name and attributes included. */
const COOKIE_LIMIT = 3900
/** The session outlives its access token: then we still know that someone was here, and sign them in again. */
const SESSION_AGE = 7 * DAY
/** More sessions than this are not kept: the oldest goes, and its holder is signed in again through the SSO. */
const MOST_SESSIONS = 10_000

export const now = (): number => Math.floor(Date.now() / 1000)

export const newCsrfToken = (): string => randomBytes(32).toString('base64url')

export function sameToken(given: unknown, expected: string): boolean {
  if (typeof given !== 'string') return false
  const [a, b] = [Buffer.from(given), Buffer.from(expected)]
  return a.length === b.length && timingSafeEqual(a, b)
}

export function isExpired(session: Session): boolean {
  // A few seconds early: the token still has to travel to the API.
  return session.expiresAt - 5 <= now()
}

export type Cookies = ReturnType<typeof createCookies>

export function createCookies(settings: Settings) {
  const sessions = new Map<string, { readonly session: Session; readonly ends: number }>()
  const key = new Uint8Array(hkdfSync('sha256', settings.sessionSecret, '', 'taskflow web cookies', 32))
  const attributes = {
    path: '/',
    httpOnly: true,
    sameSite: 'Lax',
    secure: settings.webUrl.startsWith('https:'),
  } as const

  // The audience is the cookie's name: a value made for one cookie is worth nothing in another.
  async function seal(c: Context, name: string, value: object, maxAge: number): Promise<void> {
    const sealed = await new EncryptJWT({ value })
      .setProtectedHeader({ alg: 'dir', enc: 'A256GCM' })
      .setAudience(name)
      .setExpirationTime(now() + maxAge)
      .encrypt(key)
    if (sealed.length > COOKIE_LIMIT) throw new Error(`${name} has ${sealed.length} bytes, a cookie holds ${COOKIE_LIMIT}`)
    setCookie(c, name, sealed, { ...attributes, maxAge })
  }

  /** Undefined when there is none, or one that is too old, altered, or made with another key. */
  async function unseal<T>(c: Context, name: string): Promise<T | undefined> {
    const sealed = getCookie(c, name)
    if (!sealed) return undefined
    try {
      const { payload } = await jwtDecrypt(sealed, key, {
        audience: name,
        keyManagementAlgorithms: ['dir'],
        contentEncryptionAlgorithms: ['A256GCM'],
      })
      return payload['value'] as T
    } catch {
      return undefined
    }
  }

  return {
    /** Takes the place of the session that this browser had before, if any. */
    saveSession(c: Context, session: Session): void {
      sessions.delete(getCookie(c, SESSION) ?? '')
      // A Map keeps its order: the first is the oldest.
      for (const [id, { ends }] of sessions) {
        if (ends > now() && sessions.size < MOST_SESSIONS) break
        sessions.delete(id)
      }
      const id = randomBytes(32).toString('base64url')
      sessions.set(id, { session, ends: now() + SESSION_AGE })
      setCookie(c, SESSION, id, { ...attributes, maxAge: SESSION_AGE })
    },
    readSession(c: Context): Session | undefined {
      const kept = sessions.get(getCookie(c, SESSION) ?? '')
      return kept && kept.ends > now() ? kept.session : undefined
    },
    endSession(c: Context): void {
      sessions.delete(getCookie(c, SESSION) ?? '')
      deleteCookie(c, SESSION, attributes)
    },
    /** True when the browser comes with a session that is not known here, as after a restart. Takes the cookie away. */
    takeLostSession(c: Context): boolean {
      const lost = getCookie(c, SESSION) !== undefined && !this.readSession(c)
      if (lost) deleteCookie(c, SESSION, attributes)
      return lost
    },

    savePendingSignIn: (c: Context, pending: PendingSignIn) => seal(c, SIGN_IN, pending, 10 * MINUTE),
    /** Can be taken once. */
    async takePendingSignIn(c: Context): Promise<PendingSignIn | undefined> {
      const pending = await unseal<PendingSignIn>(c, SIGN_IN)
      if (pending) deleteCookie(c, SIGN_IN, attributes)
      return pending
    },

    /** The name of a message to show on the next page; the page ignores names it does not know. */
    saveFlash: (c: Context, name: string) => setCookie(c, FLASH, name, { ...attributes, maxAge: MINUTE }),
    takeFlash(c: Context): string | undefined {
      const name = getCookie(c, FLASH)
      if (name !== undefined) deleteCookie(c, FLASH, attributes)
      return name
    },
  }
}
