/** OAuth 2.1 against the SSO: authorization code with PKCE, state and nonce, and sign-out on both sides. */
import * as oauth from 'openid-client'
import { reason } from './reason.ts'
import { now, newCsrfToken, type PendingSignIn, type Session } from './session.ts'
import type { Settings } from './settings.ts'

export const CLIENT_ID = 'taskflow-web'

export interface SignInWish {
  readonly returnTo: string
  /** The form for a new account instead of the one for an old one. */
  readonly newAccount: boolean
  readonly retry: boolean
}

/** The SSO could not be asked, or gave an answer that makes no sense: nothing the visitor did. */
export class SsoUnavailable extends Error {}
/** The SSO's answer to the browser does not belong to a sign-in that this browser began, or says no. */
export class SignInRefused extends Error {}

/** Milliseconds before a silent SSO counts as unreachable. */
const PATIENCE = 10_000

export type SignIn = ReturnType<typeof createSignIn>

export function createSignIn(settings: Settings) {
  const browserSees = `${settings.ssoUrl}/api/auth`
  const serverSees = `${settings.ssoInternalUrl}/api/auth`
  const callback = `${settings.webUrl}/auth/callback`
  // Registered with its slash, and compared character by character.
  const afterSignOut = `${settings.webUrl}/`

  // Written down instead of discovered: the browser and this server reach the SSO by different names,
  // and the dashboard can then start before the SSO does.
  const config = new oauth.Configuration(
    {
      issuer: settings.ssoUrl,
      authorization_endpoint: `${browserSees}/oauth2/authorize`,
      end_session_endpoint: `${browserSees}/oauth2/end-session`,
      token_endpoint: `${serverSees}/oauth2/token`,
      introspection_endpoint: `${serverSees}/oauth2/introspect`,
      // RFC 9207: every answer must name its issuer.
      authorization_response_iss_parameter_supported: true,
    },
    CLIENT_ID,
    { id_token_signed_response_alg: 'EdDSA' },
    oauth.ClientSecretBasic(settings.clientSecret),
  )
  config.timeout = PATIENCE / 1000
  // Inside a container network, and on a developer's machine, there is no TLS.
  if (serverSees.startsWith('http:') || browserSees.startsWith('http:')) oauth.allowInsecureRequests(config)

  return {
    /** Where to send the browser, and what to remember until it comes back. */
    async begin({ returnTo, newAccount, retry }: SignInWish): Promise<{ url: URL; pending: PendingSignIn }> {
      const pending: PendingSignIn = {
        state: oauth.randomState(),
        nonce: oauth.randomNonce(),
        codeVerifier: oauth.randomPKCECodeVerifier(),
        returnTo,
        retry,
      }
      const url = oauth.buildAuthorizationUrl(config, {
        redirect_uri: callback,
        scope: 'openid profile email',
        resource: settings.apiUrl,
        state: pending.state,
        nonce: pending.nonce,
        code_challenge: await oauth.calculatePKCECodeChallenge(pending.codeVerifier),
        code_challenge_method: 'S256',
        ...(newAccount ? { prompt: 'create' } : {}),
      })
      return { url, pending }
    },

    /** Exchanges the code in the callback's query for a session. */
    async finish(query: string, pending: PendingSignIn): Promise<Session> {
      try {
        const tokens = await oauth.authorizationCodeGrant(
          config,
          new URL(`${callback}${query}`),
          {
            expectedState: pending.state,
            expectedNonce: pending.nonce,
            pkceCodeVerifier: pending.codeVerifier,
            idTokenExpected: true,
          },
          { resource: settings.apiUrl },
        )
        return {
          accessToken: tokens.access_token,
          idToken: tokens.id_token ?? '',
          expiresAt: now() + (tokens.expiresIn() ?? 0),
          signedInAt: now(),
          retry: pending.retry,
          csrf: newCsrfToken(),
        }
      } catch (error) {
        throw explained(error)
      }
    },

    /** False once the person has signed out at the SSO, in whatever browser or application it began. */
    async isActive(session: Session): Promise<boolean> {
      try {
        return (await oauth.tokenIntrospection(config, session.accessToken, { token_type_hint: 'access_token' })).active
      } catch (error) {
        if (error instanceof oauth.ResponseBodyError) throw new SsoUnavailable(`introspection: ${error.error}`, { cause: error })
        throw new SsoUnavailable(reason(error), { cause: error })
      }
    },

    /**
     * Ends the session at the SSO, and says whether that worked. Asked from here and not through the browser: it is done
     * before the person is told so, and the ID token gets into no address, history or log.
     */
    async endSession(session: Session): Promise<boolean> {
      try {
        const response = await fetch(`${serverSees}/oauth2/end-session`, {
          method: 'POST',
          body: new URLSearchParams({ id_token_hint: session.idToken, post_logout_redirect_uri: afterSignOut }),
          redirect: 'manual',
          signal: AbortSignal.timeout(PATIENCE),
        })
        // It sends on to us when all is ended, and elsewhere when somebody would have to be asked first.
        if (response.headers.get('location') === afterSignOut) return true
        console.error(`the SSO did not end a session: ${response.status}`)
      } catch (error) {
        console.error(`the SSO did not end a session: ${reason(error)}`)
      }
      return false
    },

    /** Where to send the browser after that; it comes back to the start page. */
    signOutUrl: (): URL => oauth.buildEndSessionUrl(config, { post_logout_redirect_uri: afterSignOut }),
  }
}

/** Sorts what the library throws: the visitor can mend a refusal, not an SSO that is down or set up wrongly. */
function explained(error: unknown): unknown {
  // The SSO redirected back with `error=...`.
  if (error instanceof oauth.AuthorizationResponseError) return new SignInRefused(error.error, { cause: error })
  // The code was used, too old, or not ours; every other answer of the token endpoint is a wrong set-up.
  if (error instanceof oauth.ResponseBodyError && error.error === 'invalid_grant') return new SignInRefused(error.error, { cause: error })
  if (error instanceof oauth.ResponseBodyError) return new SsoUnavailable(`token endpoint: ${error.error}`, { cause: error })
  // State or issuer in the browser's request do not match.
  if (error instanceof oauth.ClientError && error.code === 'OAUTH_INVALID_RESPONSE') return new SignInRefused(reason(error), { cause: error })
  if (error instanceof Error) return new SsoUnavailable(reason(error), { cause: error })
  return error
}
