/** As much of a browser as the tests need: a cookie jar, and forms that are sent as a page of ours would send them. */
import type { App } from '../src/kit.ts'

export class Browser {
  readonly cookies = new Map<string, string>()
  readonly #app: App
  readonly #webUrl: string

  constructor(app: App, webUrl: string) {
    this.#app = app
    this.#webUrl = webUrl
  }

  /** Another browser with a copy of every cookie of this one, as a thief or a backup has it. */
  copied(app = this.#app): Browser {
    const copy = new Browser(app, this.#webUrl)
    for (const [name, value] of this.cookies) copy.cookies.set(name, value)
    return copy
  }

  async get(path: string): Promise<Response> {
    return this.#send(path, {})
  }

  async post(path: string, form: Record<string, string>, headers: Record<string, string> = {}): Promise<Response> {
    return this.#send(path, {
      method: 'POST',
      body: new URLSearchParams(form).toString(),
      headers: { 'content-type': 'application/x-www-form-urlencoded', origin: this.#webUrl, 'sec-fetch-site': 'same-origin', ...headers },
    })
  }

  /** Sends a form with the token that the page carries. */
  async submit(path: string, form: Record<string, string> = {}): Promise<Response> {
    return this.post(path, { ...form, csrf: await this.csrf() })
  }

  async csrf(): Promise<string> {
    const page = await (await this.get('/')).text()
    return /name="csrf" value="([^"]+)"/.exec(page)?.[1] ?? ''
  }

  /** Goes to the SSO and up to our callback, whose address it gives back. */
  async toCallback(path = '/auth/sign-in'): Promise<string> {
    const there = await this.get(path)
    const back = await fetch(there.headers.get('location')!, { redirect: 'manual' })
    return back.headers.get('location')!.slice(this.#webUrl.length)
  }

  async signIn(path?: string): Promise<Response> {
    return this.get(await this.toCallback(path))
  }

  async #send(path: string, init: RequestInit): Promise<Response> {
    const cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; ')
    const response = await this.#app.request(this.#webUrl + path, { ...init, headers: { ...init.headers, ...(cookie ? { cookie } : {}) } })
    for (const line of response.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line)!
      if (/max-age=0/i.test(line)) this.cookies.delete(name!)
      else this.cookies.set(name!, value!)
    }
    return response
  }
}
