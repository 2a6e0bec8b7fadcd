/** What the routes are given. A module of its own, so that they need not import the app that imports them. */
import type { Context, Hono } from 'hono'
import type { Api, Worker } from './api.ts'
import type { Frame, Html } from './pages/layout.ts'
import type { Cookies, Session } from './session.ts'
import type { Settings } from './settings.ts'
import type { SignIn } from './sign-in.ts'

/** What a request carries from one handler to the next. */
export interface Variables {
  session: Session | undefined
  /** Only behind `signedIn` (dashboard.ts). */
  api: Api
  me: Worker
}
export type App = Hono<{ Variables: Variables }>
export type RequestContext = Context<{ Variables: Variables }>

export interface Kit {
  readonly settings: Settings
  readonly cookies: Cookies
  readonly signIn: SignIn
  page(c: RequestContext, frame: Omit<Frame, 'stylesheet' | 'visitor'>, content: Html, status?: PageStatus): Response | Promise<Response>
}
export type PageStatus = 200 | 400 | 403 | 404 | 413 | 422 | 500 | 502 | 503
