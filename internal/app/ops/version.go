package ops

import "runtime/debug"

// version is set by the linker, in images and releases: they are built without
// the repository's history.
var version string

// Version gives the version this binary was built from: that of the release, the
// commit's, or the module's.
func Version() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return s.Value[:12]
		}
	}
	return info.Main.Version
}
