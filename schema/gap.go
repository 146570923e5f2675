package schema

import "time"

// GapCause says why an account had no stream for a while.
type GapCause string

// The causes of gaps. The set is fixed: dashboards and alerts select by it.
const (
	GapTokenChange  GapCause = "token_change"  // planned: new id token, new connection
	GapShutdown     GapCause = "shutdown"      // ingest was stopped in order
	GapCrash        GapCause = "crash"         // ingest ended without saying so
	GapConnection   GapCause = "connection"    // network or broker closed the connection
	GapEvicted      GapCause = "evicted"       // another client of the account took the connection
	GapTokenExpired GapCause = "token_expired" // the service closed at the token's end
	GapRefused      GapCause = "refused"       // login needed, subscription refused, …
	GapJournalFull  GapCause = "journal_full"  // connected, but nothing more could be stored
	GapJournalLost  GapCause = "journal_lost"  // stored, but the disk gave back something else
	GapMoved        GapCause = "moved"         // another ingest process took the account over
)

// Gap is a span of time in which messages of an account may have been missed.
// Its key is (GCID, Start); a later record of the same key replaces it.
type Gap struct {
	GCID  GCID
	VINs  []VIN     // the account's cars known at that time, sorted
	Start time.Time // last moment known to be covered, UTC
	End   time.Time // first moment covered again, UTC; never before Start
	Cause GapCause
}
