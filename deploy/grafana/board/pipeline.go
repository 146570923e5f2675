package board

// jobVariable lists the pipeline's processes as Prometheus knows them.
func jobVariable() object {
	query := `label_values(cardata_build_info, job)`
	return object{
		"name": "job", "label": "Process", "type": "query", "datasource": prometheusSource(), "definition": query,
		"query":   object{"qryType": 1, "query": query, "refId": "PrometheusVariableQueryEditor-VariableQuery"},
		"refresh": 2, "regex": "", "sort": 1, "hide": 0, "includeAll": true, "multi": true, "allValue": ".*", "options": []object{},
		"current": object{"text": []string{"All"}, "value": []string{"$__all"}, "selected": true},
	}
}

// pipelineHealth is the pipeline itself, from the metrics of its processes.
func pipelineHealth() *Dashboard {
	d := frame("cardata-pipeline", "CarData / Pipeline",
		"Rates, lag, journal, errors, quota, outages and dead letters of ingest, sink and backfill. Shaded: times without a stream.",
		"now-6h", influxVariable(), prometheusVariable(), jobVariable(), hiddenVIN()).withGaps()
	d.add(glance()...)
	d.row("Stream and journal", streamPanels()...)
	d.row("Kafka and InfluxDB", storePanels()...)
	d.row("What could not be used", letterPanels()...)
	d.row("REST calls and tokens", restPanels()...)
	d.row("Processes",
		chart("CPU", "Seconds of CPU a second.", "short", 12, 7, prom(`sum by (job, instance) (rate(process_cpu_seconds_total{job=~"$job"}[$__rate_interval]))`, "{{job}} {{instance}}")),
		chart("Memory", "Resident.", "bytes", 12, 7, prom(`sum by (job, instance) (process_resident_memory_bytes{job=~"$job"})`, "{{job}} {{instance}}")),
		table("Versions", "Of the running processes.", 24, 5, versions()).
			then("organize", object{
				"excludeByName": object{"Time": true, "__name__": true, "Value": true}, "indexByName": object{"job": 0, "instance": 1, "version": 2},
				"renameByName": object{},
			}),
	)
	return d
}

func versions() target {
	t := instant(`cardata_build_info{job=~"$job"}`)
	t.ResultFormat = "table"
	return t
}

// hiddenVIN lets gaps of all cars be shaded.
func hiddenVIN() object {
	v := vinVariable(true)
	v["hide"] = 2
	return v
}

func glance() []*Panel {
	return []*Panel{
		promStat("Accounts streaming", "Accounts whose stream stands.", "short", `sum(`+selected("cardata_accounts_subscribed")+`)`).
			thresholds("red", []step{{1, "green"}}),
		promStat("Login needed", "Accounts that wait for a person: cardata login, or a step in the portal.", "short",
			`sum(`+selected("cardata_accounts_login_needed")+`) + sum(`+selected("cardata_accounts_misconfigured")+`)`).
			thresholds("green", []step{{1, "red"}}),
		promStat("Journal waiting", "Records that Kafka has not acknowledged.", "short", `sum(`+selected("cardata_journal_unsent_records")+`)`).
			thresholds("green", []step{{10_000, "yellow"}, {1_000_000, "red"}}),
		promStat("Sink behind", "Records of Kafka that are not in InfluxDB yet.", "short", `sum(`+selected("cardata_consumer_lag_records")+`)`).
			thresholds("green", []step{{10_000, "yellow"}, {1_000_000, "red"}}),
		promStat("Dead letters", "Within the period; cardata.dead-letters has them with their reason.", "short", letters()).
			thresholds("green", []step{{1, "yellow"}, {1_000, "red"}}),
		promStat("Messages refused", "Within the period, because the journal was full: a gap is recorded.", "short", grown("cardata_intake_messages_refused_total")).
			thresholds("green", []step{{1, "red"}}),
	}
}

// letters is what was kept aside within the period, at any stage.
func letters() string {
	return `sum(increase({__name__=~"cardata_ledger_dead_letters_total|cardata_store_records_invalid_total|cardata_influx_rejected_total|cardata_backfill_dead_letters_total",job=~"$job"}[$__range]))`
}

func streamPanels() []*Panel {
	return []*Panel{
		chart("Messages and readings", "Received, sent on, stored.", "cps", 12, 8,
			prom(rate("cardata_intake_messages_received_total"), "messages received"),
			prom(rate("cardata_ledger_readings_produced_total"), "readings into Kafka"),
			prom(rate("cardata_store_readings_total"), "readings into InfluxDB")),
		chart("Accounts", "By state.", "short", 12, 8,
			prom(`sum(`+selected("cardata_accounts_subscribed")+`)`, "streaming"),
			prom(`sum(`+selected("cardata_accounts_connecting")+`)`, "connecting"),
			prom(`sum(`+selected("cardata_accounts_waiting")+`)`, "waiting to try again"),
			prom(`sum(`+selected("cardata_accounts_login_needed")+`)`, "login needed"),
			prom(`sum(`+selected("cardata_accounts_misconfigured")+`)`, "no data selection")).
			custom("stacking", object{"mode": "normal", "group": "A"}).custom("fillOpacity", 40),
		chart("Journal", "Size on disk, and what Kafka has not acknowledged.", "bytes", 12, 8,
			prom(`sum by (instance) (`+selected("cardata_journal_size_bytes")+`)`, "size {{instance}}"),
			prom(`sum by (instance) (`+selected("cardata_journal_unsent_records")+`)`, "unsent records {{instance}}"),
			prom(`max(`+selected("cardata_journal_full")+`)`, "full")).
			byPattern("/^unsent/", "unit", "short", "custom.axisPlacement", "right").
			byPattern("/^full/", "unit", "bool_yes_no", "custom.axisPlacement", "hidden"),
		chart("Connections lost", "By cause. A token change is planned, once an hour and account.", "suffix: /h", 12, 8,
			prom(perHour("cardata_stream_losses_token_change_total"), "token change"),
			prom(perHour("cardata_stream_losses_connection_total"), "network or broker"),
			prom(perHour("cardata_stream_losses_evicted_total"), "another client of the account"),
			prom(perHour("cardata_stream_losses_token_expired_total"), "token expired"),
			prom(perHour("cardata_stream_refused_throttled_total"), "refused: throttled"),
			prom(perHour("cardata_stream_refused_not_authorized_total"), "refused: not authorised")),
	}
}

func perHour(metric string) string { return `3600 * ` + rate(metric) }

// byPattern sets properties of the series whose names match.
func (p *Panel) byPattern(pattern string, properties ...any) *Panel {
	p.column(pattern, properties...)
	p.FieldConfig.Overrides[len(p.FieldConfig.Overrides)-1]["matcher"] = object{"id": "byRegexp", "options": pattern}
	return p
}

func storePanels() []*Panel {
	return []*Panel{
		chart("Lag", "Records of Kafka that are not in InfluxDB yet, and partitions read.", "short", 12, 8,
			prom(`sum by (instance) (`+selected("cardata_consumer_lag_records")+`)`, "behind {{instance}}"),
			prom(`sum by (instance) (`+selected("cardata_consumer_assigned_partitions")+`)`, "partitions {{instance}}")).
			byPattern("/^partitions/", "custom.axisPlacement", "right"),
		chart("Written", "Records into Kafka by all processes, points into InfluxDB.", "cps", 12, 8,
			prom(`sum by (job) (rate(`+selected("cardata_producer_records_total")+`[$__rate_interval]))`, "Kafka, {{job}}"),
			prom(rate("cardata_influx_points_total"), "InfluxDB")),
		chart("Outages and retries", "InfluxDB: times that it took no writes, and writes tried again. Kafka: batches sent again.", "suffix: /h", 12, 8,
			prom(perHour("cardata_write_outages_total"), "InfluxDB outages"),
			prom(perHour("cardata_write_retries_total"), "InfluxDB retries"),
			prom(perHour("cardata_producer_retries_total"), "Kafka retries"),
			prom(perHour("cardata_relay_batch_retries_total"), "Kafka: whole batches, a person must act"),
			prom(perHour("cardata_journal_write_retries_total"), "journal: disk full")),
		chart("Group", "Rebalances, and records deleted by Kafka's retention before they were read: these are lost to InfluxDB.", "suffix: /h", 12, 8,
			prom(perHour("cardata_consumer_rebalances_total"), "rebalances"),
			prom(perHour("cardata_consumer_lost_records_total"), "lost records"),
			prom(perHour("cardata_consumer_commit_errors_total"), "commit errors")),
	}
}

func letterPanels() []*Panel {
	return []*Panel{
		bars("Dead letters over time", "By the stage that could not use them.", "short", 12, 8,
			prom(each("cardata_ledger_dead_letters_total"), "payload or value"),
			prom(each("cardata_relay_records_refused_total"), "refused by Kafka"),
			prom(each("cardata_store_records_invalid_total"), "not what the topic holds"),
			prom(each("cardata_influx_rejected_total"), "refused by InfluxDB"),
			prom(each("cardata_backfill_dead_letters_total"), "REST answer")),
		bars("Errors", "Things that should not be. Each has an alert or a line in the log.", "short", 12, 8,
			prom(each("cardata_journal_corrupt_spans_total"), "journal damaged"),
			prom(each("cardata_journal_position_errors_total"), "journal position not saved"),
			prom(each("cardata_stream_protocol_faults_total"), "MQTT protocol"),
			prom(each("cardata_stream_tls_faults_total"), "TLS"),
			prom(each("cardata_influx_failures_total"), "InfluxDB requests"),
			prom(each("cardata_token_token_save_failures_total"), "token not saved")),
	}
}

func each(metric string) string { return `sum(increase(` + selected(metric) + `[$__rate_interval]))` }

func restPanels() []*Panel {
	return []*Panel{
		chart("Calls left today", "Of BMW's 50 a day, of the account with the fewest; the reserve included. −1: not known.", "short", 12, 8,
			prom(`min(`+selected("cardata_quota_left_calls")+`)`, "as ingest knows"),
			prom(`min(`+selected("cardata_backfill_quota_left_calls")+`)`, "as backfill knows")),
		bars("Backfill", "Calls spent, and what they brought.", "short", 12, 8,
			prom(each("cardata_backfill_calls_total"), "calls"),
			prom(each("cardata_backfill_sessions_total"), "charging sessions"),
			prom(each("cardata_backfill_vehicles_total"), "facts about cars"),
			prom(each("cardata_backfill_repairs_total"), "gap repairs"),
			prom(each("cardata_backfill_skips_total"), "left out")),
		bars("Tokens", "Refreshes, once an hour and account, and what goes wrong with them.", "short", 12, 8,
			prom(each("cardata_token_token_refreshes_total"), "refreshed"),
			prom(each("cardata_token_token_failures_total"), "failed, tried again"),
			prom(each("cardata_token_token_refusals_total"), "refused: login needed")),
		bars("Quota", "Bookings refused, and days that BMW ended early (CU-429).", "short", 12, 8,
			prom(each("cardata_quota_quota_refusals_total"), "refused"),
			prom(each("cardata_quota_quota_latches_total"), "ended by BMW")),
	}
}
