module cloud.google.com/go/bigtable

go 1.26.0

require google.golang.org/api v0.0.0

replace google.golang.org/api => ../googleapi
