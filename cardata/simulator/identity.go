package simulator

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/simulator/cars"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// Account is one simulated BMW account with its cars. It never changes while
// the simulator runs and is the same for the same seed.
type Account struct {
	GCID     schema.GCID
	ClientID string       // UUID of the account's one CarData client
	VINs     []schema.VIN // in the order the cars were made
	Models   map[schema.VIN]cars.Model
}

// newAccount derives account number n from the seed alone.
func newAccount(seed uint64, n, carCount int) Account {
	a := Account{
		GCID:     schema.GCID(uuid(seed, "gcid", n)),
		ClientID: uuid(seed, "client", n),
		VINs:     make([]schema.VIN, carCount),
		Models:   make(map[schema.VIN]cars.Model, carCount),
	}
	for i := range a.VINs {
		index := n*stride(carCount) + i
		a.VINs[i] = cars.VIN(seed, index)
		a.Models[a.VINs[i]] = cars.ModelOf(index)
	}
	return a
}

// stride is the distance of the first cars of two accounts in the fleet that
// cars.VIN numbers. It does not follow the number of cars, so that an account
// keeps its cars when another run has more or fewer of them, and it is one more
// than a multiple of 30, so that the accounts differ in their mix of models.
func stride(carCount int) int {
	const usual = 121
	if carCount <= usual {
		return usual
	}
	return (carCount+29)/30*30 + 1
}

// uuid makes a version 4 shaped identifier that depends on its arguments alone.
func uuid(seed uint64, kind string, n int) string {
	in := binary.BigEndian.AppendUint64([]byte(kind), seed)
	b := sha256.Sum256(binary.BigEndian.AppendUint64(in, uint64(n)))
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}
