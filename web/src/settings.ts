/** Everything the environment decides, read and checked once, before the server listens. */
export interface Settings {
  readonly host: string
  readonly port: number
  /** Where browsers find this dashboard. An origin, without a trailing slash. */
  readonly webUrl: string
  /** Where browsers find the SSO, and the issuer its tokens name. */
  readonly ssoUrl: string
  /** Where this server finds the SSO: inside a container network that is another name. */
  readonly ssoInternalUrl: string
  /** The audience the access token is asked for. */
  readonly apiUrl: string
  /** Where this server finds the API. */
  readonly apiInternalUrl: string
  readonly clientSecret: string
  readonly sessionSecret: string
}

export class SettingsError extends Error {}

type Environment = Readonly<Record<string, string | undefined>>

/** Reads the settings; throws one SettingsError that names everything wrong. Never repeats a secret's value. */
export function readSettings(env: Environment): Settings {
  const missing: string[] = []
  const wrong: string[] = []

  // Compose passes an unset variable on as an empty one, so empty counts as missing.
  const optional = (name: string): string | undefined => env[name]?.trim() || undefined
  const required = (name: string): string => {
    const value = optional(name)
    if (value === undefined) missing.push(name)
    return value ?? ''
  }
  const checkedUrl = (name: string, value: string): string => {
    const url = URL.parse(value)
    // Not repeated: it is a password in a wrong place, as of a DATABASE_URL that got into this variable. Browsers would see it, too.
    if (value.includes('@')) wrong.push(`${name} has a user or password in it, expected http(s)://HOST[:PORT]`)
    else if (value !== '' && !/^https?:$/.test(url?.protocol ?? '')) wrong.push(`${name} is not an http(s) URL: ${value}`)
    return value.replace(/\/+$/, '')
  }
  const requiredUrl = (name: string) => checkedUrl(name, required(name))
  const urlOr = (name: string, fallback: string) => {
    const value = optional(name)
    return value === undefined ? fallback : checkedUrl(name, value)
  }
  const secret = (name: string, length: number): string => {
    const value = required(name)
    if (value !== '' && value.length < length) wrong.push(`${name} has ${value.length} characters, needs at least ${length}`)
    return value
  }
  const port = (name: string, fallback: number): number => {
    const value = Number(optional(name) ?? fallback)
    // 0 lets the system choose a port.
    if (!Number.isInteger(value) || value < 0 || value > 65535) wrong.push(`${name} is not a port: ${env[name]}`)
    return value
  }

  const webUrl = requiredUrl('WEB_URL')
  const ssoUrl = requiredUrl('SSO_URL')
  const apiUrl = requiredUrl('API_URL')
  const settings: Settings = {
    host: optional('HOST') ?? '127.0.0.1',
    port: port('PORT', 3000),
    webUrl,
    ssoUrl,
    ssoInternalUrl: urlOr('SSO_INTERNAL_URL', ssoUrl),
    apiUrl,
    apiInternalUrl: urlOr('API_INTERNAL_URL', apiUrl),
    clientSecret: required('WEB_CLIENT_SECRET'),
    sessionSecret: secret('SESSION_SECRET', 32),
  }

  // The pages live at the root of their origin.
  const web = URL.parse(webUrl)
  if (web && web.pathname !== '/' && !webUrl.includes('@')) wrong.push(`WEB_URL has a path: ${webUrl}`)

  if (missing.length > 0) wrong.unshift(`missing environment variable${missing.length > 1 ? 's' : ''} ${missing.join(', ')}`)
  if (wrong.length > 0) throw new SettingsError(wrong.join('; '))
  return settings
}
