"""Prints the summary of deploy/test from what ctest wrote: summary.py LOGS PRESET...

For each preset LOGS holds PRESET.xml (ctest's JUnit output), or PRESET.failed where it did not
build. A build counts as one check. A preset without results failed. Exits with 1 on any failure.
"""
import os
import re
import sys
import xml.etree.ElementTree as ElementTree


# How a test program of many cases tells of one that it skipped: Criterion's and unittest's words.
SKIPPED_CASE = re.compile(r"^\[SKIP\] *(.*)$|^(\w+ \(.*\.\.\.) skipped (.*)$", re.M)


def skipped_cases(name, output):
    """The cases that a test which ran skipped inside: each counts as a check of its own."""
    return [(name, "skipped", 0.0, " ".join(part for part in match.groups() if part))
            for match in SKIPPED_CASE.finditer(output)]


# What names the case that failed: unittest's, the sanitizers' and Criterion's words.
FAILED_CASE = re.compile(r"^(?:FAIL|ERROR): .*|^SUMMARY: .*Sanitizer.*|^.*runtime error: .*|"
                         r"^\w*(?:Error|Exception): .*|^\[FAIL\] .*", re.M)


def reason(output):
    """Why a test failed: the first lines that name a case, and the last that it printed."""
    named = [line.strip()[:200] for line in FAILED_CASE.findall(output)][:4]
    last = [line.strip() for line in output.splitlines() if line.strip()][-2:]
    return " / ".join(dict.fromkeys(named + last))


def read_preset(logs, preset):
    """The results of a preset: a list of (name, 'passed'|'failed'|'skipped', seconds, why)."""
    path = os.path.join(logs, preset + ".xml")
    if os.path.exists(os.path.join(logs, preset + ".failed")):
        return [("build", "failed", 0.0, f"see build-{preset}.log")]
    try:
        cases = list(ElementTree.parse(path).getroot().iter("testcase"))
    except (OSError, ElementTree.ParseError) as error:
        return [("build", "passed", 0.0, ""), ("ctest", "failed", 0.0, str(error))]
    results = [("build", "passed", 0.0, "")]
    if not cases:
        results.append(("ctest", "failed", 0.0, "found no tests"))
    for case in cases:
        output = case.findtext("system-out") or ""
        state, why = "failed", ""
        if case.find("skipped") is not None and case.get("status") == "notrun":
            if "SKIP_RETURN_CODE" in case.find("skipped").get("message", ""):
                found = re.search(r"^.*SKIP: *(.*)$", output, re.M)
                state, why = "skipped", found.group(1) if found else "says not why"
            else:
                why = "did not run: " + case.find("skipped").get("message", "")
        elif case.find("failure") is not None:
            why = reason(output) or case.find("failure").get("message", "")
        elif case.get("status") == "run":
            state = "passed"
        results.append((case.get("name"), state, float(case.get("time") or 0), why))
        if state != "skipped":
            results += skipped_cases(case.get("name"), output)
    return results


def read_notes(logs, presets):
    """The lines that tests print as "note: ...": told, and no failures."""
    notes = []
    for preset in presets:
        path = os.path.join(logs, preset + ".xml")
        if os.path.exists(path):
            for case in ElementTree.parse(path).getroot().iter("testcase"):
                notes += re.findall(r"^note: .*$", case.findtext("system-out") or "", re.M)
    return notes


def slowest(preset, results):
    """What to look at first when the whole takes too long."""
    longest = sorted(results, key=lambda result: -result[2])[:6]
    return f"slowest of {preset}: " + ", ".join(f"{name} {seconds:.0f} s"
                                                 for name, _, seconds, _ in longest)


def main(logs, presets):
    total = {"passed": 0, "failed": 0, "skipped": 0}
    lines, slow = [], []
    print(f"\n{'preset':<10}{'passed':>8}{'failed':>8}{'skipped':>9}{'seconds':>9}")
    for preset in presets:
        results = read_preset(logs, preset)
        count = {state: sum(r[1] == state for r in results) for state in total}
        seconds = sum(r[2] for r in results)
        print(f"{preset:<10}{count['passed']:>8}{count['failed']:>8}{count['skipped']:>9}"
              f"{seconds:>9.1f}")
        for state in total:
            total[state] += count[state]
        slow.append(slowest(preset, results))
        lines += [f"{state}: {preset} {name}: {why}" for name, state, _, why in results
                  if state != "passed"]
    for block in (slow, read_notes(logs, presets), sorted(lines)):
        if block:
            print("\n" + "\n".join(block))
    if total["failed"]:
        print(f"\nlogs: {logs}/PRESET.log, {logs}/build-PRESET.log")
    print(f"\n{total['passed']} passed, {total['failed']} failed, {total['skipped']} skipped")
    return 1 if total["failed"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
