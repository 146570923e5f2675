// Package auth obtains and keeps the tokens of BMW CarData accounts: the device
// flow with PKCE, the refresh that rotates every token, the durable store of one
// file per account, and the one owner of a token set within a process.
//
// A refresh token is single use, so everything here serves one rule: a rotated
// set is durable before anything else happens with it, and nobody presents a
// token that another has already spent. Tokens are never logged. What an account
// may do (consent, revocation) is decided elsewhere and never written here.
package auth
