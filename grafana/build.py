#!/usr/bin/env python3
"""The dashboards as code: writes dashboards/*.json from the panels below.

usage: grafana/build.py [--check]     --check: write nothing, exit 1 when a file is not what the code says

A metric's braces are filled in with the dashboard's job and node: `rate(keyline_call_started_total{}[I])`, where
I is the interval that suits the step. A panel that shows nothing while all goes well says so in `empty`: the text
stands under its title, and the test that asks Prometheus for every panel's queries takes it as the reason.
"""

import json
import re
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "dashboards"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def query(text):
    """Fills in job, node and interval."""
    def braces(found):
        more = found.group(2)
        return f'{found.group(1)}{{job="$job",instance=~"$instance"{"," + more if more else ""}}}'
    text = re.sub(r"\b((?:keyline|up)\w*(?::\w+)*)\{([^}]*)\}", braces, text)
    return text.replace("[I]", "[$__rate_interval]")


class Board:
    def __init__(self, name, title, about):
        self.name, self.title, self.about = name, title, about
        self.panels, self.x, self.y, self.tall = [], 0, 0, 0

    def place(self, w, h):
        if self.x + w > 24:
            self.x, self.y, self.tall = 0, self.y + self.tall, 0
        at = {"x": self.x, "y": self.y, "w": w, "h": h}
        self.x, self.tall = self.x + w, max(self.tall, h)
        return at

    def row(self, title):
        self.x, self.y, self.tall = 0, self.y + self.tall, 0
        self.panels.append({"id": len(self.panels) + 1, "type": "row", "title": title, "collapsed": False,
                            "gridPos": self.place(24, 1), "panels": []})

    def panel(self, kind, title, about, queries, unit, w, h, options, defaults, instant, empty):
        targets = [{"refId": chr(65 + i), "datasource": SOURCE, "expr": query(q), "legendFormat": legend,
                    "range": not instant, "instant": instant,
                    **({"format": "heatmap"} if kind == "heatmap" else {})} for i, (q, legend) in enumerate(queries)]
        self.panels.append({
            "id": len(self.panels) + 1, "type": kind, "title": title,
            "description": f"{about} Empty on purpose: {empty}." if empty else about,
            "datasource": SOURCE, "gridPos": self.place(w, h), "targets": targets,
            "fieldConfig": {"defaults": {"unit": unit, "min": 0, **defaults}, "overrides": []}, "options": options})

    def stat(self, title, about, q, unit="short", w=4, bad_from=None, good_from=None, legend="", empty=None):
        steps = [{"color": "green", "value": None}]
        if bad_from is not None:
            steps.append({"color": "red", "value": bad_from})
        if good_from is not None:
            steps = [{"color": "red", "value": None}, {"color": "green", "value": good_from}]
        options = {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
                   "colorMode": "value", "graphMode": "none", "textMode": "value_and_name" if legend else "auto"}
        self.panel("stat", title, about, [(q, legend)], unit, w, 4, options,
                   {"thresholds": {"mode": "absolute", "steps": steps}}, True, empty)

    def plot(self, title, about, *queries, unit="short", w=8, h=8, stacked=False, empty=None):
        custom = {"lineWidth": 1, "fillOpacity": 25 if stacked else 8, "showPoints": "never",
                  "stacking": {"mode": "normal" if stacked else "none"}}
        options = {"legend": {"displayMode": "table", "placement": "bottom", "calcs": ["mean", "max"]},
                   "tooltip": {"mode": "multi", "sort": "desc"}}
        self.panel("timeseries", title, about, queries, unit, w, h, options, {"custom": custom}, False, empty)

    def heat(self, title, about, q, unit="s", w=12, h=8):
        options = {"calculate": False, "yAxis": {"unit": unit}, "color": {"scheme": "Oranges", "mode": "scheme"},
                   "cellGap": 0, "tooltip": {"mode": "single", "yHistogram": True}, "legend": {"show": True}}
        self.panel("heatmap", title, about, [(q, "{{le}}")], unit, w, h, options, {}, False, None)

    def text(self):
        def variable(name, label, q, **more):
            return {"name": name, "type": "query", "label": label, "datasource": SOURCE, "sort": 1, "current": {},
                    "query": {"query": q, "refId": name}, "hide": 0, **more}

        def mark(name, color, expr, title):
            return {"name": name, "datasource": SOURCE, "enable": True, "hide": False, "iconColor": color,
                    "expr": query(expr), "step": "10s", "titleFormat": title, "textFormat": "{{instance}}",
                    "useValueForTime": False}

        board = {
            "uid": f"keyline-{self.name}", "title": f"Keyline: {self.title}", "description": self.about,
            "tags": ["keyline"], "timezone": "browser", "schemaVersion": 39, "version": 1, "editable": True,
            "refresh": "10s", "time": {"from": "now-1h", "to": "now"},
            "templating": {"list": [
                {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source",
                 "current": {}, "hide": 0},
                variable("job", "Job", "label_values(keyline_build_info, job)", refresh=1),
                variable("instance", "Node", 'label_values(keyline_build_info{job="$job"}, instance)', refresh=2,
                         multi=True, includeAll=True, allValue=".*")]},
            "annotations": {"list": [
                mark("Restarts", "red", "resets(keyline_process_cpu_seconds_total{}[1m]) > 0", "the node started anew"),
                mark("Changes", "blue", 'increase(keyline_audit_entries_total{result="done"}[1m]) > 0',
                     "the configuration was changed (profiles included): see the audit"),
                mark("Roll-outs", "purple", "changes(keyline_rollout_open_rollouts{}[1m]) > 0",
                     "a roll-out began or ended")]},
            "links": [{"type": "dashboards", "tags": ["keyline"], "title": "Keyline", "asDropdown": True,
                       "includeVars": True, "keepTime": True, "icon": "external link"}],
            "panels": self.panels}
        return json.dumps(board, indent=1) + "\n"


def rate(metric, by=None, match=""):
    return f"sum{f' by ({by})' if by else ''} (rate({metric}{{{match}}}[I]))"


def shares(metric, *quantiles):
    return ((f"histogram_quantile({q / 100}, sum by (le) (rate({metric}_bucket{{}}[I])))", f"p{q}") for q in quantiles)


def disk(b, w):
    b.plot("Time of one trip to the disk", "All commits that waited share one trip. Median, 99 and 99.9 %.",
           *((f"histogram_quantile({q}, sum by (le) (rate(keyline_storage_write_duration_seconds_bucket{{}}[I])))", name)
             for q, name in ((0.5, "p50"), (0.99, "p99"), (0.999, "p99.9"))), unit="s", w=w)


def overview():
    b = Board("overview", "overview", "Is all well? Each row has a dashboard of its own behind the menu.")
    b.row("State")
    b.stat("Up", "Nodes that answer the scrape.", "sum(up{})", w=3, good_from=1)
    b.stat("Registered phones", "Devices with at least one binding.", "sum(keyline_phone_registered_devices{})")
    b.stat("Answered calls", "In progress.", "sum(keyline_call_answered_calls{})", w=3)
    b.stat("Open connections", "TCP, TLS and WebSocket.", "sum(keyline_connection_open{})", w=3)
    b.stat("Panics, 1 h", "Caught; what they cost is in the dashboard of actors.",
           "sum(increase(keyline_actor_restarts_total{}[1h])) + sum(increase(keyline_worker_panics_total{}[1h]))",
           w=3, bad_from=1)
    b.stat("Storage failures, 1 h", "Commits that the disk refused.",
           "sum(increase(keyline_storage_failures_total{}[1h]))", bad_from=1)
    b.stat("Version", "Nodes by version.", "count by (version) (keyline_build_info{})", legend="{{version}}")
    b.row("Phones and calls")
    b.plot("Registered phones", "Devices with at least one binding.",
           ("keyline_phone_registered_devices{}", "{{instance}}"))
    b.plot("REGISTER by outcome", "Every REGISTER ends in one of these.",
           (rate("keyline_phone_registers_total", "outcome"), "{{outcome}}"), unit="reqps", stacked=True)
    b.plot("Calls in progress by class", "The class is the lowest of the call's answered legs.",
           ("sum by (class) (keyline_call_answered_calls{})", "{{class}}"), stacked=True)
    b.row("Work and load")
    b.plot("Messages in, by transport", "SIP messages that could be read.",
           (rate("keyline_sip_messages_received_total", "transport"), "{{transport}}"), unit="ops", w=6)
    b.plot("Shed", "Requests answered 503 because of load; calls first, refreshes last.",
           (rate("keyline_sip_shed_total", "kind"), "{{kind}}"), unit="reqps", w=6)
    b.plot("Processor", "Cores in use.", ("rate(keyline_process_cpu_seconds_total{}[I])", "{{instance}}"), w=6)
    b.plot("Resident memory", "Of the process.",
           ("keyline_process_resident_memory_bytes{}", "{{instance}}"), unit="bytes", w=6)
    b.row("How long phones wait")
    b.plot("REGISTER at the node", "From an admitted REGISTER to its 200, its commit included. Phones repeat after 0.5 s.",
           *shares("keyline_phone_register_seconds", 50, 99), unit="s", w=12, empty="nobody registered")
    b.plot("Call set-up at the node", "From an admitted INVITE to the first 18x or 2xx: the called phone's own time is in it.",
           *shares("keyline_call_setup_seconds", 50, 99), unit="s", w=12, empty="no call was started")
    b.row("What hurts")
    b.plot("Refused and stale, by cause", "Causes as in docs/REFUSALS.md; those that happen.",
           (f'{rate("keyline_admission_verdicts_total", "verdict, cause", "verdict=~" + chr(34) + "refuse|stale" + chr(34))} > 0',
            "{{verdict}} {{cause}}"), unit="reqps", empty="nothing was refused")
    disk(b, 8)
    b.plot("Refused by a limit", "Limits of [limits] that refused something.",
           (f'{rate("keyline_limits_refused_total", "limit")} > 0', "{{limit}}"), unit="ops",
           empty="no limit was reached")
    return b


def security():
    b = Board("security", "security", "Who may in, who may not, and why; TLS; what administrators change.")
    b.row("Admission")
    b.plot("Verdicts", "Of every request that is judged.",
           (rate("keyline_admission_verdicts_total", "verdict"), "{{verdict}}"), unit="reqps", stacked=True)
    b.plot("Refused, by cause", "Causes as in docs/REFUSALS.md.",
           (f'{rate("keyline_admission_verdicts_total", "cause", "verdict=" + chr(34) + "refuse" + chr(34))} > 0', "{{cause}}"),
           unit="reqps", empty="nothing was refused")
    b.plot("Challenged and stale, by cause", "A challenge without a cause is the first one of a phone.",
           (f'{rate("keyline_admission_verdicts_total", "verdict, cause", "verdict=~" + chr(34) + "challenge|stale" + chr(34))} > 0',
            "{{verdict}} {{cause}}"), unit="reqps", empty="nobody was challenged")
    b.row("Events")
    b.plot("Security events", "Each has a line in the log with the device.",
           (rate("keyline_admission_events_total", "event"), "{{event}}"), unit="ops")
    b.plot("Answered calls by class", "Encrypted shows the lock, authenticated the shield.",
           ("sum by (class) (keyline_call_answered_calls{})", "{{class}}"), stacked=True)
    b.plot("Share of encrypted calls", "Of the answered calls in progress.",
           ('keyline:calls_encrypted:ratio{}', "{{instance}}"), unit="percentunit",
           empty="no call is in progress, or the recording rules are not loaded")
    b.row("TLS")
    b.plot("Handshakes by result", "Everything but completed is a refusal with its reason.",
           (rate("keyline_tls_handshakes_total", "result"), "{{result}}"), unit="ops", w=12)
    b.plot("Completed, by version", "",
           (rate("keyline_tls_connections_total", "version"), "{{version}}"), unit="ops", w=6)
    b.plot("Nonce keys", "Rotations of the keys that mint nonces.",
           ("increase(keyline_nonce_key_rotations_total{}[1h])", "{{instance}}"), w=6)
    b.plot("Suites", "Of completed handshakes. NULL-SHA and TLS_SHA256_SHA256 are those of authenticated mode.",
           (f'{rate("keyline_tls_suites_total", "suite")} > 0', "{{suite}}"), unit="ops", empty="no handshake was completed")
    b.plot("Full and resumed", "A phone that comes back shows its ticket: a third of the work.",
           (rate("keyline_tls_completed_total", "kind"), "{{kind}}"), unit="ops")
    b.plot("Weak cryptography", "Completed handshakes that no new phone needs.",
           (rate("keyline_tls_weak_total", "weakness"), "{{weakness}}"), unit="ops")
    b.plot("Chains of clients", "Judged anew, and known from before.",
           (rate("keyline_tls_chain_checks_made_total"), "judged"), (rate("keyline_tls_chain_checks_known_total"), "known"),
           unit="ops")
    b.plot("Connections closed for their certificate", "Open ones whose certificate is no longer believed: revoked, or its issuer taken off.",
           (rate("keyline_tls_revoked_total", "reason"), "{{reason}}"), unit="ops")
    b.plot("Days until own certificates end", "By name.",
           ("keyline_certificate_expiry_seconds{} / 86400", "{{name}} {{instance}}"), unit="d")
    b.plot("Days until OCSP responses end", "Of own certificates that carry one.",
           ("keyline_ocsp_expiry_seconds{} / 86400", "{{name}} {{instance}}"), unit="d",
           empty="no certificate carries a response")
    b.plot("Ticket keys", "Rotations; phones resume over the newest ones.",
           ("increase(keyline_tls_ticket_key_rotations_total{}[1h])", "{{instance}}"))
    b.row("SIP OAuth")
    b.plot("Tokens by result", "Bearer tokens that were judged.",
           ("sum by (result) (rate(keyline_oauth_tokens_total{}[I]))", "{{result}}"), unit="ops")
    b.plot("Tokens issued", "By the embedded issuer.", ("sum(increase(keyline_oauth_tokens_issued_total{}[I]))", "issued"))
    b.plot("Key sets", "Keys that are believed, and readings of key sets by result.",
           ("sum(keyline_oauth_keys{})", "keys"),
           ("sum by (result) (increase(keyline_oauth_key_set_reads_total{}[I]))", "read: {{result}}"))
    b.row("Administrators")
    b.plot("Entries of the audit", "Changes that were done, and changes that were refused.",
           ("sum by (result) (increase(keyline_audit_entries_total{}[I]))", "{{result}}"))
    b.plot("Roll-outs", "Phones by what became of them.",
           (rate("keyline_rollout_phones_total", "outcome"), "{{outcome}}"), unit="ops")
    b.plot("Roll-outs that went wrong", "Phones that failed, by reason, and roll-outs that their gate stopped.",
           ("sum by (reason) (increase(keyline_rollout_failures_total{}[1h]))", "{{reason}}"),
           ("sum(increase(keyline_rollout_gated_total{}[1h]))", "stopped"))
    return b


def edge():
    b = Board("edge", "edge", "Sockets, messages, connections, limits.")
    b.row("SIP")
    b.plot("Messages in, by transport", "SIP messages that could be read.",
           (rate("keyline_sip_messages_received_total", "transport"), "{{transport}}"), unit="ops", w=6)
    b.plot("Requests in, by method", "", (rate("keyline_sip_requests_received_total", "method"), "{{method}}"),
           unit="reqps", w=6)
    b.plot("Requests out, by method", "Of the node's own.",
           (rate("keyline_sip_requests_sent_total", "method"), "{{method}}"), unit="reqps", w=6)
    b.plot("Responses out, by class", "", (rate("keyline_sip_responses_sent_total", "class"), "{{class}}"),
           unit="ops", w=6)
    b.row("Refused on sight")
    b.plot("Unreadable, by status", "Answered with this status, or dropped where none can be sent.",
           (rate("keyline_sip_parse_rejects_total", "status"), "{{status}}"), unit="ops")
    b.plot("Refused by a limit", "Limits of [limits] that refused something.",
           (f'{rate("keyline_limits_refused_total", "limit")} > 0', "{{limit}}"), unit="ops",
           empty="no limit was reached")
    b.plot("Shed", "503 because of load.", (rate("keyline_sip_shed_total", "kind"), "{{kind}}"), unit="reqps")
    b.row("Overload over UDP")
    b.plot("Pressure", "What a worker sheds: at 0.25 new calls, 0.5 those with credentials too, 0.75 first registrations too.",
           ("keyline_overload_pressure_ratio{}", "{{instance}} worker {{worker}}"), unit="percentunit", w=12)
    b.plot("Dropped without an answer", "By the node, by kind, and by the kernel because a socket was full.",
           (rate("keyline_overload_dropped_total", "kind"), "{{kind}}"), (rate("keyline_udp_receive_lost_total"), "kernel"),
           unit="ops", w=12)
    b.row("Connections")
    b.plot("Open", "By transport.", ("sum by (transport) (keyline_connection_open{})", "{{transport}}"), stacked=True)
    b.plot("Closed by the node, by reason", "",
           (rate("keyline_connection_closed_total", "reason"), "{{reason}}"), unit="ops")
    b.plot("Handshakes", "TLS that was completed, and WebSocket by result.",
           (rate("keyline_tls_connections_total"), "TLS"),
           (rate("keyline_websocket_handshakes_total", "result"), "WebSocket {{result}}"), unit="ops")
    b.row("Workers")
    b.plot("Transactions and connections", "By worker: they should be alike.",
           ("sum by (kind, worker) (keyline_worker_objects{})", "{{kind}} {{worker}}"))
    b.plot("Socket errors", "Datagrams that could not be read or sent.",
           (rate("keyline_udp_receive_errors_total"), "receive"), (rate("keyline_udp_send_errors_total"), "send"), unit="ops")
    b.plot("Open files", "Each connection is one.", ("keyline_process_open_files{}", "open {{instance}}"),
           ("keyline_process_open_files_limit{}", "limit {{instance}}"))
    b.plot("Trunks", "Connections by state.", ("sum by (state) (keyline_trunk_connections{})", "{{state}}"), w=12)
    b.plot("Trunks that began anew", "After a panic; the log has its place.",
           ("sum(increase(keyline_trunk_restarts_total{}[I]))", "restarts"), w=12)
    b.plot("Traces", "Running, and messages that did not fit into their ring.",
           ("sum(keyline_trace_running{})", "running"), (rate("keyline_trace_dropped_total"), "dropped a second"), w=12)
    b.plot("Cisco alarms", "REFERs by which phones report trouble, by kind.",
           ("sum by (alarm) (increase(keyline_cisco_alarms_total{}[I]))", "{{alarm}}"), w=12)
    return b


def actors():
    b = Board("actors", "actors", "Shards, phones, profiles, the catalog: their queues, their faults.")
    b.row("Queues")
    b.plot("Shard queues", "Messages that wait. Calls are shed at half of the bound, refreshes at 95 %.",
           ("keyline_shard_queue_messages{}", "{{instance}} shard {{shard}}"))
    b.plot("Losses between threads", "Must be nothing: a worker's inbox was full.",
           (rate("keyline_outlet_dropped_total"), "effects"), (rate("keyline_worker_inbox_dropped_total"), "messages"),
           unit="ops")
    b.plot("Shed", "503 because of load.", (rate("keyline_sip_shed_total", "kind"), "{{kind}}"), unit="reqps")
    b.row("Supervision")
    b.plot("Restarts after a panic", "By kind of actor; each went on from its last committed state.",
           ("sum by (actor) (increase(keyline_actor_restarts_total{}[I]))", "{{actor}}"), w=12)
    b.plot("Panics of workers", "The message was lost, nothing else.",
           ("sum by (instance) (increase(keyline_worker_panics_total{}[I]))", "{{instance}}"), w=12)
    b.row("Phones")
    b.plot("Active phones", "Phones that have something which outlives a message: a call, a subscription, an apply.",
           ("keyline_phone_active_actors{}", "{{instance}}"))
    b.plot("Activated and passivated", "A phone becomes an actor, and a row again.",
           (rate("keyline_phone_activations_total"), "activated"), (rate("keyline_phone_passivations_total"), "passivated"),
           unit="ops")
    b.plot("Subscriptions", "Active ones.", ("keyline_subscription_active_subscriptions{}", "{{instance}}"))
    b.row("Catalog and profiles")
    b.plot("Devices touched by changes", "A save of a profile touches none.",
           (rate("keyline_catalog_devices_touched_total"), "devices"), unit="ops", w=6)
    b.plot("Versions collected", "Profile versions that nobody is judged by any more.",
           ("sum(increase(keyline_catalog_versions_collected_total{}[I]))", "versions"), w=6)
    b.plot("Open roll-outs", "", ("sum(keyline_rollout_open_rollouts{})", "open"), w=6)
    b.plot("Phones left", "That the open roll-outs still have to reach.",
           ("sum(keyline_rollout_left_phones{})", "left"), w=6)
    return b


def storage():
    b = Board("storage", "storage", "The one writer, and what waits for it.")
    b.row("Writes")
    b.plot("Rows and commits a second", "", (rate("keyline_storage_rows_total"), "rows"),
           (rate("keyline_storage_commits_total"), "commits"), unit="ops")
    disk(b, 8)
    b.plot("Commits in one trip", "How many share it: grows with load.",
           ("sum(rate(keyline_storage_commits_total{}[I])) / sum(rate(keyline_storage_write_duration_seconds_count{}[I]))",
            "commits"), empty="nothing was written")
    b.row("Queue and faults")
    b.plot("Writer's queue", "Commits that wait.", ("sum by (instance) (keyline_storage_queue_commits{})", "{{instance}}"))
    b.plot("Refused", "By a full queue: the disk is slower than what arrives.",
           (rate("keyline_storage_queue_full_total"), "queue full"), (rate("keyline_journal_full_total"), "rows refused"),
           unit="ops")
    b.plot("Conflicts and failures", "A conflict is read again; a failure is the disk's.",
           (rate("keyline_storage_conflicts_total"), "conflicts"), (rate("keyline_storage_failures_total"), "failures"),
           unit="ops")
    b.row("Distribution")
    b.heat("Trips to the disk by their time", "Each column is an interval, each cell the trips of that time.",
           "sum by (le) (increase(keyline_storage_write_duration_seconds_bucket{}[I]))")
    b.plot("Repeats of administrators' orders", "Answers kept for idempotency keys, given again, thrown away early.",
           ("sum(keyline_admin_idempotency_answers{})", "kept"),
           ("sum(increase(keyline_admin_idempotency_replayed_total{}[I]))", "given again"),
           ("sum(increase(keyline_admin_idempotency_evicted_total{}[I]))", "thrown away"), w=12)
    b.row("Process")
    b.plot("Resident memory", "", ("keyline_process_resident_memory_bytes{}", "{{instance}}"), unit="bytes")
    b.plot("Processor", "Cores in use.", ("rate(keyline_process_cpu_seconds_total{}[I])", "{{instance}}"))
    b.plot("Threads, reloads", "", ("keyline_process_threads{}", "threads {{instance}}"),
           ("sum by (result) (increase(keyline_config_reloads_total{}[I]))", "reload {{result}}"))
    return b


def calls():
    b = Board("calls", "calls", "How many, how secure, how they begin and end.")
    b.row("Now")
    b.stat("Answered calls", "In progress.", "sum(keyline_call_answered_calls{})")
    b.stat("Encrypted", "Of them, with the lock.", 'sum(keyline_call_answered_calls{class="encrypted"})')
    b.stat("Authenticated", "Of them, with the shield.", 'sum(keyline_call_answered_calls{class="authenticated"})')
    b.stat("Non-secure", "Of them, with no icon.", 'sum(keyline_call_answered_calls{class="non_secure"})')
    b.stat("Under way", "Started and not ended.",
           "sum(keyline_call_started_total{}) - sum(keyline_call_finished_total{})")
    b.stat("Answered, 1 h", "Share of the calls that started.",
           "sum(increase(keyline_call_answered_total{}[1h])) / sum(increase(keyline_call_started_total{}[1h]))",
           unit="percentunit", empty="no call was started")
    b.row("Over time")
    b.plot("Calls in progress by class", "The class is the lowest of the call's answered legs.",
           ("sum by (class) (keyline_call_answered_calls{})", "{{class}}"), stacked=True)
    b.plot("Calls a second", "", (rate("keyline_call_started_total"), "started"),
           (rate("keyline_call_answered_total"), "answered"), (rate("keyline_call_finished_total"), "ended"), unit="cps")
    b.plot("New calls shed", "503 because of load.",
           ('sum(rate(keyline_sip_shed_total{kind="invite"}[I]))', "INVITE"), unit="reqps")
    b.row("How long callers wait")
    b.plot("Call set-up at the node", "From an admitted INVITE to the first 18x or 2xx: the called phone's own time is in it.",
           *shares("keyline_call_setup_seconds", 50, 90, 99), unit="s", w=12, empty="no call was started")
    b.heat("Call set-up by its time", "Each column is an interval, each cell the calls of that time.",
           "sum by (le) (increase(keyline_call_setup_seconds_bucket{}[I]))")
    b.row("Signaling")
    b.plot("Requests in", "Methods of calls.",
           ('sum by (method) (rate(keyline_sip_requests_received_total{method=~"INVITE|ACK|BYE|CANCEL|PRACK|UPDATE|REFER|INFO"}[I]))',
            "{{method}}"), unit="reqps", w=12)
    b.plot("Requests out", "Methods of calls.",
           ('sum by (method) (rate(keyline_sip_requests_sent_total{method=~"INVITE|ACK|BYE|CANCEL|PRACK|UPDATE|NOTIFY|INFO"}[I]))',
            "{{method}}"), unit="reqps", w=12)
    return b


def main(check):
    stale = []
    for board in (overview(), security(), edge(), actors(), storage(), calls()):
        path, text = FOLDER / f"{board.name}.json", board.text()
        if not path.exists() or path.read_text() != text:
            stale.append(path.name)
            if not check:
                path.write_text(text)
    if check and stale:
        print(f"grafana: not as grafana/build.py says: {', '.join(stale)}; run it", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
