package journal

import "os"

// disk is the part of the file system that fails in ways worth a test.
type disk struct {
	writeAt func(f *os.File, b []byte, off int64) (int, error)
	sync    func(f *os.File) error
	syncDir func(dir string) error
}

func realDisk() disk {
	return disk{
		writeAt: func(f *os.File, b []byte, off int64) (int, error) { return f.WriteAt(b, off) },
		sync:    func(f *os.File) error { return f.Sync() },
		syncDir: syncDir,
	}
}
