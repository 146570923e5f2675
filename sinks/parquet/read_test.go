package parquet

import (
	_ "github.com/apache/arrow/go/v17/parquet/pqarrow"
)
