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

export type SignIn = ReturnType<typeof createSignIn>

export function createSignIn(settings: Settings) {
  const browserSees = `${settings.ssoUrl}/api/auth`
  const serverSees = `${settings.ssoInternalUrl}/api/auth`
  const callback = `${settings.webUrl}/auth/callback`

  // Written down instead of discovered: the browser and this server reach the SSO by different names,
  // and the dashboard can then start before the SSO does.
  const config = new oauth.Configuration(
    {
      issuer: settings.ssoUrl,
      authorization_endpoint: `${browserSees}/oauth2/authorize`,
      end_session_endpoint: `${browserSees}/oauth2/end-session`,
      token_endpoint: `${serverSees}/oauth2/token`,
      // RFC 9207: every answer must name its issuer.
      authorization_response_iss_parameter_supported: true,
    },
    CLIENT_ID,
    { id_token_signed_response_alg: 'EdDSA' },
    oauth.ClientSecretBasic(settings.clientSecret),
  )
  config.timeout = 10
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

    /** Where to send the browser to end its session at the SSO; it comes back to the start page. */
    signOutUrl(session: Session): URL {
      return oauth.buildEndSessionUrl(config, {
        id_token_hint: session.idToken,
        // Registered with its slash, and compared character by character.
        post_logout_redirect_uri: `${settings.webUrl}/`,
      })
    },
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
