/**
 * Everything this service reads from its environment, checked in one place.
 *
 * It is read when it is needed, never at import: `next build` has no secrets and needs none.
 */

type Source = Readonly<Record<string, string | undefined>>;

/** What the running service needs. */
export interface Env {
  /** `postgresql://USER:PASSWORD@HOST:PORT/DATABASE` */
  readonly databaseUrl: string;
  /** This service as the browser sees it; also the issuer of every token. */
  readonly ssoUrl: string;
  /** The dashboard: the only other site that may take part in a sign-in. */
  readonly webUrl: string;
  /** Signs cookies and encrypts the private signing key in the database. */
  readonly authSecret: string;
}

/** What the set-up needs beside that. */
export interface SeedEnv extends Env {
  /** The API: the audience of the access tokens. */
  readonly apiUrl: string;
  readonly webClientSecret: string;
  readonly demoPassword: string;
}

/** The environment is not usable. The message names every variable at fault and never a value. */
export class EnvError extends Error {
  override name = "EnvError";
}

export const minPasswordLength = 10;
const minSecretLength = 32;

type Check = (value: string) => string | undefined;

const isOrigin: Check = (value) =>
  /^https?:$/.test(URL.parse(value)?.protocol ?? "") && URL.parse(value)?.origin === value
    ? undefined
    : "must be an http(s) address without a path or trailing slash";

const isDatabaseUrl: Check = (value) =>
  /^postgres(ql)?:$/.test(URL.parse(value)?.protocol ?? "") ? undefined : "must be a postgresql:// address";

const hasLength =
  (min: number): Check =>
  (value) =>
    value.length >= min ? undefined : `must have at least ${min} characters`;

function read<Name extends string>(source: Source, checks: Record<Name, Check>): Record<Name, string> {
  const values = {} as Record<Name, string>;
  const problems: string[] = [];
  for (const [name, check] of Object.entries(checks) as [Name, Check][]) {
    const value = source[name] ?? "";
    const problem = value === "" ? "is not set" : check(value);
    if (problem) problems.push(`${name} ${problem}`);
    values[name] = value;
  }
  if (problems.length > 0) throw new EnvError(`environment: ${problems.join("; ")}`);
  return values;
}

const appChecks = {
  DATABASE_URL: isDatabaseUrl,
  SSO_URL: isOrigin,
  WEB_URL: isOrigin,
  BETTER_AUTH_SECRET: hasLength(minSecretLength),
};

const seedChecks = {
  ...appChecks,
  API_URL: isOrigin,
  WEB_CLIENT_SECRET: hasLength(minSecretLength),
  DEMO_PASSWORD: hasLength(minPasswordLength),
};

function toEnv(values: Record<keyof typeof appChecks, string>): Env {
  return {
    databaseUrl: values.DATABASE_URL,
    ssoUrl: values.SSO_URL,
    webUrl: values.WEB_URL,
    authSecret: values.BETTER_AUTH_SECRET,
  };
}

/** The environment of the running service. Throws EnvError. */
export function readEnv(source: Source = process.env): Env {
  return toEnv(read(source, appChecks));
}

/** The environment of the set-up. Throws EnvError. */
export function readSeedEnv(source: Source = process.env): SeedEnv {
  const values = read(source, seedChecks);
  return {
    ...toEnv(values),
    apiUrl: values.API_URL,
    webClientSecret: values.WEB_CLIENT_SECRET,
    demoPassword: values.DEMO_PASSWORD,
  };
}
