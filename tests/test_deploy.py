"""Deployment files: alert rules, dashboard queries and the wiring of the compose services."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from mm.commands.record import record
from mm.commands.shadow import shadow
from mm.commands.trade import trade
from mm.commands.watchdog import watchdog
from mm.live.account.limits import ACCOUNT_FAMILIES
from mm.live.pages.contract_metrics import ContractMetrics
from mm.live.pages.trading_metrics import TradingMetrics
from mm.live.pages.watchdog import WATCHDOG_FAMILIES
from mm.market_data.health import HealthReport, StreamHealth
from mm.market_data.metrics import DOOR_FAMILIES
from mm.market_data.monitor import page
from promql import seconds_of, unit_test
from support import ROOT

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed; it comes with the extra cluster")
FAMILIES = [family for family, _ in (*TradingMetrics("SIMUSDT").filled(), *ContractMetrics().filled())]
DEPLOY = ROOT / "mm" / "ops" / "deploy"
NEEDS_PROMTOOL = pytest.mark.skipif(
    not shutil.which("promtool"), reason="promtool is not installed; it comes with Debian's package prometheus"
)
BOARD = json.loads((DEPLOY / "grafana" / "dashboards" / "trading.json").read_text(encoding="utf-8"))
QUERIES = [(panel["title"], target["expr"]) for panel in BOARD["panels"] for target in panel["targets"]]
CATEGORIES = ("Stale", "Kill", "Drawdown", "Reject", "StateWriter")


def load_yaml(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8"))


def rules() -> list[dict[str, Any]]:
    return [rule for group in load_yaml("alerts.yml")["groups"] for rule in group["rules"]]


def promtool(*words: str | Path, folder: Path = DEPLOY) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["promtool", *map(str, words)], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )


def exported_families() -> dict[str, set[str]]:
    """Return every exported metric family with its labels; the recorder's are parsed from its metrics page."""
    report = HealthReport(
        "BTCUSDT", "R", 1, "h", "synced", 0, 2.0, path="x", lag_s=1.0, book_age_s=1.0, used_weight=1, free_mb=1.0,
        streams={"depth": StreamHealth(median_us=1, p99_us=2)}, anomalies={"crossed": 1}, offset_us=1,
    )  # fmt: skip
    found = {one.name: {"symbol", *one.labels} for one in (*FAMILIES, *WATCHDOG_FAMILIES, *DOOR_FAMILIES)}
    found |= {one.name: set(one.labels) for one in ACCOUNT_FAMILIES}
    for name in re.findall(r"^# TYPE (\S+)", page(report), re.MULTILINE):
        lines = re.findall(rf"^{name}(?:_sum|_count)?\{{(.*)\}}", page(report), re.MULTILINE)
        found.setdefault(name, set()).update(label for line in lines for label in re.findall(r"(\w+)=", line))
    return found


def families_of(expression: str) -> set[str]:
    """Return the metric families of a query; the series of a histogram count as one family."""
    names = set(re.findall(r"\bmm_\w+", expression))
    kinds = {one.name: one.kind for one in FAMILIES}
    return {
        cut if kinds.get(cut := re.sub(r"_(bucket|sum|count)$", "", name)) == "histogram" else name for name in names
    }


def labels_of(expression: str) -> set[str]:
    """Return the labels that a query selects or groups by."""
    selected = {label for inside in re.findall(r"\{(.*?)\}", expression) for label in re.findall(r"(\w+)\s*=", inside)}
    return selected | {
        label.strip() for inside in re.findall(r"by \((.*?)\)", expression) for label in inside.split(",")
    }


def test_queries_use_exported_families_and_labels() -> None:
    """A misspelt name would give an empty panel or an alert that never fires."""
    families = exported_families()
    scrape_labels = {"job", "instance", "le"}
    queries = [*QUERIES, *((rule["alert"], rule["expr"]) for rule in rules())]
    assert len(queries) > 35
    for title, expression in queries:
        names = families_of(expression)
        assert names or "up{" in expression or expression == "vector(1)", title
        assert names <= families.keys(), f"{title}: {names - families.keys()}"
        known_labels = scrape_labels.union(*(families[name] for name in names))
        assert labels_of(expression) <= known_labels, f"{title}: {labels_of(expression) - known_labels}"


def test_every_family_is_on_the_dashboard() -> None:
    """No metric is exported without a panel."""
    shown = {name for _, expression in QUERIES for name in families_of(expression)}
    assert {one.name for one in FAMILIES} <= shown


def test_every_alert_has_its_metrics_on_the_dashboard() -> None:
    """Who is woken sees the course of what has woken him; one panel at one place, each with a name of its own."""
    shown = {name for _, expression in QUERIES for name in families_of(expression)}
    alerted = {rule["alert"]: families_of(rule["expr"]) for rule in rules()}
    assert {alert: names - shown for alert, names in alerted.items() if names - shown} == {}
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in BOARD["panels"]]
    assert len({*places}) == len(places) == len({panel["id"] for panel in BOARD["panels"]})


def test_family_and_label_parsers_extract_query_names() -> None:
    """Names and labels are extracted from a query; a histogram's suffix is removed."""
    query = 'histogram_quantile(0.5, sum by (symbol, le) (rate(mm_order_ack_seconds_bucket{symbol="$symbol"}[1m])))'
    assert families_of(query) == {"mm_order_ack_seconds"}
    assert labels_of(query) == {"symbol", "le"}
    assert families_of("mm_messages_count") == {"mm_messages_count"}


@NEEDS_PROMTOOL
def test_dashboard_queries_pass_promtool(tmp_path: Path) -> None:
    """promtool parses each query with the dashboard's variables filled in."""
    filled = [
        {"record": f"query_{place}", "expr": query.replace("$__rate_interval", "1m").replace("$symbol", "BTCUSDT")}
        for place, (_, query) in enumerate(QUERIES)
    ]
    (tmp_path / "queries.yml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": filled}]}))
    checked = promtool("check", "rules", "queries.yml", folder=tmp_path)
    assert checked.returncode == 0, checked.stderr
    assert f"{len(filled)} rules found" in checked.stdout


@NEEDS_PROMTOOL
def test_prometheus_configuration_passes_promtool(tmp_path: Path) -> None:
    """The check includes the referenced rule files, and the token that the user puts beside them."""
    for name in ("prometheus.yml", "alerts.yml"):
        shutil.copy(DEPLOY / name, tmp_path)
    (tmp_path / "prometheus_token").write_text("token")
    checked = promtool("check", "config", "prometheus.yml", folder=tmp_path)
    assert checked.returncode == 0, checked.stderr
    assert load_yaml("prometheus.yml")["global"]["scrape_interval"] == "5s"


UNIT_TESTS = yaml.load((DEPLOY / "alerts_test.yml").read_text(encoding="utf-8"), yaml.BaseLoader)  # 0x10 is text


@pytest.mark.parametrize("test", UNIT_TESTS["tests"], ids=lambda test: test["name"])
def test_alerts_fire_when_their_unit_tests_say_so(test: dict[str, Any]) -> None:
    """Also where promtool is not installed."""
    wanted = {}
    for one in test["alert_rule_test"]:
        labels = {frozenset(alert["exp_labels"].items()) for alert in one.get("exp_alerts", ())}
        wanted[one["alertname"], seconds_of(one["eval_time"])] = labels
    played = unit_test(load_yaml("alerts.yml"), test, seconds_of(UNIT_TESTS["evaluation_interval"]))
    assert {(name, at_s): labels for name, at_s, labels in played} == wanted


@NEEDS_PROMTOOL
def test_alert_rules_pass_their_unit_tests() -> None:
    """promtool runs the rule tests of alerts_test.yml."""
    tested = promtool("test", "rules", "alerts_test.yml")
    assert tested.returncode == 0, tested.stdout + tested.stderr


@pytest.mark.slow
@NEEDS_PROMTOOL
@pytest.mark.parametrize("name", [rule["alert"] for rule in rules()])
def test_rule_tests_fail_without_or_with_broken_alert(name: str, tmp_path: Path) -> None:
    """The rule tests fail if any one rule is removed or always fires."""
    for changed in (None, "vector(1) > 0") if name != "AlertingAlive" else (None,):
        content = load_yaml("alerts.yml")
        for group in content["groups"]:
            group["rules"] = [
                rule | ({"expr": changed, "for": "0s"} if rule["alert"] == name else {})
                for rule in group["rules"]
                if changed or rule["alert"] != name
            ]
        content["groups"] = [group for group in content["groups"] if group["rules"]]
        (tmp_path / "alerts.yml").write_text(yaml.safe_dump(content))
        shutil.copy(DEPLOY / "alerts_test.yml", tmp_path)
        assert promtool("test", "rules", "alerts_test.yml", folder=tmp_path).returncode != 0


def test_alert_names_contain_a_known_category() -> None:
    """Routes and scripts match these names."""
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names)
    assert all(any(word in name for name in names) for word in CATEGORIES)
    assert all(rule["annotations"]["summary"] and rule["labels"]["severity"] for rule in rules())


def test_compose_services_match_ports_targets_and_volumes() -> None:
    """Ports, targets, volumes and build stages match those of the Dockerfile and the Prometheus configuration."""
    compose = load_yaml("compose.yaml")
    services = compose["services"]
    own = ("recorder", "trader", "watchdog")
    assert services.keys() == {*own, "redis", "postgres", "prometheus", "alertmanager", "grafana"}
    targets = {
        job["job_name"]: job["static_configs"][0]["targets"] for job in load_yaml("prometheus.yml")["scrape_configs"]
    }
    stages = re.findall(r"^FROM .* AS (\w+)$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    for name in own:
        service = services[name]
        assert service["environment"]["METRICS_PORT"] == "8000"
        assert targets[name] == [f"{name}:8000"]
        assert name in service["environment"]["ALLOWED_HOSTS"].split(",")
        assert service["environment"]["TOKENS_FILE"] == "/run/secrets/tokens"
        assert service["build"]["target"] in stages
        assert (DEPLOY / service["build"]["context"]).resolve() == ROOT
    assert all(int(services[name]["stop_grace_period"].removesuffix("s")) >= 30 for name in own[:2])
    assert {f"{volume}:ro" for volume in services["trader"]["volumes"]} == set(services["watchdog"]["volumes"])
    (alerting,) = load_yaml("prometheus.yml")["alerting"]["alertmanagers"]
    assert alerting["static_configs"][0]["targets"] == ["alertmanager:9093"]
    assert stages[-1] == "recorder", "what a plain docker build makes"
    for service in services.values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            assert (DEPLOY / source).exists() if source.startswith(".") else source in compose["volumes"]
        for secret in service.get("secrets", []):
            assert (secret if isinstance(secret, str) else secret["source"]) in compose["secrets"]
        for needed in service.get("depends_on", []):
            assert needed in services


def test_service_variables_are_knobs_of_their_command() -> None:
    """A variable that no command reads has no effect; LEDGER_URL applies to `mm trade`, not to `mm shadow`."""
    services = load_yaml("compose.yaml")["services"]
    known = {
        name: {option.envvar for command in commands for option in command.params}
        for name, commands in (
            ("recorder", [record]),
            ("trader", [shadow, trade]),
            ("watchdog", [watchdog]),
        )
    }
    for name, variables in known.items():
        assert services[name]["environment"].keys() <= variables, name
    assert services["trader"]["command"][2:] == ["mm", "shadow"]
    assert "LEDGER_URL" not in {option.envvar for option in shadow.params}


def test_alert_routes_name_alerts_and_receivers_and_contain_no_secret() -> None:
    """Every route ends at a receiver, and an inhibition names rules that exist."""
    config = load_yaml("alertmanager.yml")
    receivers = {one["name"] for one in config["receivers"]}
    routes = [config["route"], *config["route"]["routes"]]
    assert {route["receiver"] for route in routes} == receivers
    matchers = [one for route in routes for one in route.get("matchers", [])]
    severities = {rule["labels"]["severity"] for rule in rules()}
    assert {word for one in matchers for word in re.findall(r'="(\w+)"', one)} <= severities
    for rule in config["inhibit_rules"]:
        inhibiting = [*rule["source_matchers"], *rule["target_matchers"]]
        named = {name for one in inhibiting for name in re.findall(r"[A-Z]\w+", one)}
        assert named <= {rule["alert"] for rule in rules()}
    text = (DEPLOY / "alertmanager.yml").read_text(encoding="utf-8")
    assert not re.search(r"(password|secret|token|api_key):", text)
    assert all("example.org" in address for address in re.findall(r"(?:url|to|from|smarthost): (\S+)", text))


@pytest.mark.skipif(not shutil.which("amtool"), reason="amtool is not installed; it comes with prometheus-alertmanager")
def test_alertmanager_configuration_passes_amtool() -> None:
    """Routes, matchers and receivers are valid."""
    words = ["amtool", "check-config", "alertmanager.yml"]
    checked = subprocess.run(words, cwd=DEPLOY, capture_output=True, text=True, timeout=120, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_compose_of_the_desk_serves_both_doors_on_loopback() -> None:
    """Trading interface and dashboard listen on the host's loopback alone, at the ports of their health checks."""
    services = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
    assert f"\nFROM base AS {services['api']['build']['target']}\n" in (ROOT / "Dockerfile").read_text(encoding="utf-8")
    for name, words in (("api", ["sim", "api"]), ("dashboard", ["dashboard"])):
        service, port = services[name], {"api": "8000", "dashboard": "8501"}[name]
        assert service["command"] == ["python", "-m", "mm", *words, "--port", port]
        assert service["network_mode"] == "host"
        assert f"http://127.0.0.1:{port}/" in service["healthcheck"]["test"][-1]
        assert {volume.split(":")[1] for volume in service["volumes"]} == {"/app/data", "/app/out"}


def test_compose_file_contains_no_passwords() -> None:
    """Passwords come from the environment and are required."""
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    passwords = re.findall(r"(\w*PASSWORD): (.*)", text)
    assert passwords
    assert all(value.startswith("${") and ":?" in value for _, value in passwords)
    assert re.search(r"postgresql://mm:\$\{POSTGRES_PASSWORD:\?", text)


def test_grafana_provisioning_matches_mounts_and_datasource() -> None:
    """Provisioning names the mounted folder, panels use the provisioned data source, and none overlap."""
    source = load_yaml("grafana/provisioning/datasources/prometheus.yaml")["datasources"][0]
    provider = load_yaml("grafana/provisioning/dashboards/mm.yaml")["providers"][0]
    mounts = dict(one.split(":")[:2] for one in load_yaml("compose.yaml")["services"]["grafana"]["volumes"])
    assert mounts["./grafana/dashboards"] == provider["options"]["path"]
    uids = {panel["datasource"]["uid"] for panel in BOARD["panels"]}
    assert uids == {source["uid"]}
    places = [tuple(panel["gridPos"].values()) for panel in BOARD["panels"]]
    cells = [(x + dx, y + dy) for x, y, w, h in places for dx in range(w) for dy in range(h)]
    assert len(set(cells)) == len(cells), "panels lie over each other"
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(places)


def test_monitoring_page_lists_every_family_and_alert() -> None:
    """The names on the page are the exported families and the alert rules."""
    text = (ROOT / "docs" / "trading.md").read_text(encoding="utf-8")
    families = text[text.index("## Monitoring") : text.index("### Alerts")]
    rows = (ROOT / "docs" / "on_call.md").read_text(encoding="utf-8").split("\n| ")
    alerts = [name for row in rows for name in re.findall(r"`([A-Z][a-z]+[A-Za-z]*)`", row.partition(" |")[0])]
    assert set(re.findall(r"`(mm_\w+)`", families)) == {
        one.name for one in (*FAMILIES, *ACCOUNT_FAMILIES, *WATCHDOG_FAMILIES, *DOOR_FAMILIES)
    }
    assert sorted(alerts) == sorted(rule["alert"] for rule in rules())
