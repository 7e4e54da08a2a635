# ruff: noqa: E501  (tables in many languages)
"""Examples from sets that others made, each with its labels: who gave them is said at each function.

Sets in `TRAINED` have licences that allow weights to be shipped; the others are for measuring alone.
"""

import ast
import csv
import gzip
import json
import random
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tools.train_classifier.examples import HERE, Example, materials, read_sections

LABELS: dict[str, Any] = json.loads((HERE / "labels.json").read_text("utf-8"))


def lines(path: Path) -> Iterator[Any]:
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    yield from (json.loads(line) for line in text.split("\n") if line.strip())


def with_input(row: Any, n: int = 0) -> str:
    given = row["instances"][n]["input"]
    return f"{row['instruction']}\n\n{given}" if given.strip() else row["instruction"]


def self_instruct_seed(data: Path) -> list[Example]:
    """Self-Instruct's 175 seed tasks (Apache-2.0), labelled by hand for this project."""
    rows = list(lines(data / "tasks" / "self_instruct_seed_tasks.jsonl"))
    labels = LABELS["self_instruct_seed"].split()
    return [
        Example("self_instruct_seed", "en", task, with_input(row))
        for row, task in zip(rows, labels, strict=True)
    ]


def self_instruct_user(data: Path) -> list[Example]:
    """189 of Self-Instruct's 252 user-oriented tasks (Apache-2.0), labelled by hand; unclear ones left out."""
    rows = list(lines(data / "tasks" / "self_instruct_user_oriented.jsonl"))
    by_task = LABELS["self_instruct_user"].items()
    return [
        Example("self_instruct_user", "en", task, with_input(rows[n])) for task, ns in by_task for n in ns
    ]


VICUNA = {
    "roleplay": "creative",
    "writing": "creative",
    "fermi": "reason",
    "math": "reason",
    "coding": "code",
}


def vicuna(data: Path) -> list[Example]:
    """Vicuna's 80 questions (Apache-2.0); tasks follow from their categories."""
    rows = lines(data / "tasks" / "vicuna_question.jsonl")
    return [Example("vicuna", "en", VICUNA.get(r["category"], "qa"), r["turns"][0]) for r in rows]


def mt_bench(data: Path) -> list[Example]:
    """MT-bench's 80 first turns (Apache-2.0), labelled by hand."""
    rows = list(lines(data / "other" / "mt_bench_question.jsonl"))
    labels = LABELS["mt_bench"].split()
    return [Example("mt_bench", "en", task, r["turns"][0]) for r, task in zip(rows, labels, strict=True)]


def ifeval(data: Path) -> list[Example]:
    """Every sixth prompt of IFEval (Apache-2.0), labelled by hand."""
    rows = list(lines(data / "other" / "ifeval_input_data.jsonl"))[::6]
    labels = LABELS["ifeval_every_sixth"].split()
    return [Example("ifeval", "en", task, r["prompt"]) for r, task in zip(rows, labels, strict=True)]


def gsm8k(data: Path) -> list[Example]:
    """Every third question of GSM8K's test part (MIT): `reason`."""
    rows = list(lines(data / "other" / "gsm8k_test.jsonl"))[::3]
    return [Example("gsm8k", "en", "reason", r["question"]) for r in rows]


def bfcl(data: Path) -> list[Example]:
    """Every third request of BFCL live-multiple (Apache-2.0), with tools: `agent_step`."""
    rows = list(lines(data / "other" / "bfcl_live_multiple.jsonl"))[::3]
    found = []
    for row in rows:
        messages = row["question"][0]
        system = messages[0]["content"] if messages[0]["role"] == "system" else ""
        found.append(Example("bfcl", "en", "agent_step", messages[-1]["content"], system, tools=True))
    return found


CLINC = {
    "chat": "greeting goodbye where_are_you_from how_old_are_you what_is_your_name who_made_you thank_you "
    "what_are_your_hobbies do_you_have_pets are_you_a_bot who_do_you_work_for yes no maybe",
    "faq": "report_lost_card card_declined credit_limit international_fees interest_rate apr routing "
    "account_blocked application_status min_payment new_card damaged_card report_fraud "
    "replacement_card_duration expiration_date rollover_401k credit_limit_change",
    "agent_step": "alarm timer reminder_update play_music next_song smart_home shopping_list_update order "
    "calendar_update schedule_meeting schedule_maintenance book_flight book_hotel restaurant_reservation "
    "cancel_reservation uber transfer pay_bill freeze_account text make_call share_location find_phone "
    "change_volume change_speed change_language change_user_name change_ai_name sync_device reset_settings "
    "todo_list_update pto_request order_checks whisper_mode weather directions update_playlist",
    "qa": "definition nutrition_info recipe cook_time ingredient_substitution food_last calories jump_start "
    "vaccines travel_suggestion plug_type oil_change_how tire_change fun_fact meaning_of_life",
    "reason": "calculator measurement_conversion",
    "translate": "translate",
}


def clinc150(data: Path) -> list[Example]:
    """CLINC150 (CC-BY-3.0), up to 25 questions of each intent that is clearly of one task (a table of ours)."""
    task_of = {intent: task for task, intents in CLINC.items() for intent in intents.split()}
    rows = json.loads((data / "cache" / "clinc150_data_full.json").read_text("utf-8"))
    found: dict[str, list[Example]] = {}
    for text, intent in rows["train"]:
        if intent in task_of and len(found.setdefault(intent, [])) < 25:
            found[intent].append(Example("clinc150", "en", task_of[intent], text))
    return [example for examples in found.values() for example in examples]


def banking77(data: Path) -> list[Example]:
    """Every eighth question of BANKING77 (CC-BY-4.0): `faq`."""
    with (data / "cache" / "banking77_train.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))[::8]
    return [Example("banking77", "en", "faq", " ".join(row["text"].split())) for row in rows]


def cast(data: Path) -> list[Example]:
    """CAsT 2019's questions as asked (MIT): `qa`."""
    rows = lines(data / "cache" / "trec_cast_2019_multiturn.jsonl.gz")
    return [Example("cast", "en", "qa", row["resolved"]) for row in rows]


PROMPTSOURCE = {
    "summarise": "aeslc billsum cnn_dailymail gigaword multi_news multi_x_science_sum samsum scientific_papers "
    "scitldr sent_comp xsum",
    "classify": "ag_news ade_corpus_v2/Ade_corpus_v2_classification bing_coronavirus_query_set blbooksgenre "
    "banking77 climate_fever dbpedia_14 ecthr_cases fever glue/mnli glue/rte glue/qnli glue/mrpc glue/qqp "
    "glue/cola glue/wnli hans hate_speech18 health_fact hlgd hyperpartisan_news_detection jigsaw liar "
    "medical_questions_pairs multi_nli anli snli xnli scicite scitail sick sms_spam snips_built_in_intents "
    "super_glue/cb super_glue/rte super_glue/wic super_glue/axb tab_fact trec tweet_eval/hate tweet_eval/irony "
    "tweet_eval/offensive tweet_eval/stance yahoo_answers_topics nlu_evaluation_data onestop_english esnli "
    "google_wellformed_query",
    "sentiment": "amazon_polarity amazon_reviews_multi amazon_us_reviews app_reviews emo emotion "
    "financial_phrasebank imdb poem_sentiment rotten_tomatoes sst glue/sst2 tweet_eval/sentiment "
    "tweet_eval/emotion yelp_polarity yelp_review_full",
    "qa": "adversarial_qa ai2_arc coqa cos_e cosmos_qa commonsense_qa drop duorc freebase_qa hotpot_qa kilt_tasks "
    "narrativeqa nq_open openbookqa pubmed_qa qasc quac quail quartz quoref race ropes sciq squad social_i_qa "
    "super_glue/boolq super_glue/multirc trivia_qa tydiqa web_questions wiki_qa xquad head_qa",
    "reason": "math_dataset math_qa aqua_rat",
    "code": "code_x_glue_tc_text_to_code openai_humaneval neural_code_search",
    "rewrite": "asset turk discofuse wiki_split jfleg",
    "extract": "ncbi_disease species_800 ade_corpus_v2/Ade_corpus_v2_drug acronym_identification",
}
_HOLE = re.compile(r"\{\{(.*?)\}\}", re.S)
_LITERAL = re.compile(r"^\s*[\"'](.*)[\"']\s*$", re.S)


def promptsource(repo: Path) -> list[Example]:
    """The original-task templates of promptsource (Apache-2.0); tasks follow from the sets they are for.

    `repo` is a git directory. A template's holes are filled with questions and texts of this project, so
    that nothing of the sets themselves is used.
    """
    import yaml

    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        pass

    Loader.add_multi_constructor("!", lambda loader, suffix, node: loader.construct_mapping(node, deep=True))
    names = subprocess.run(
        ["git", "-C", str(repo), "ls-tree", "-r", "HEAD", "--name-only"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\n")
    rng = random.Random(11)
    texts, questions = materials()["en"], read_sections(HERE / "phrases" / "en.txt")["qa"]
    found: list[Example] = []
    for name in names:
        dataset = name.removeprefix("promptsource/templates/").removesuffix("/templates.yaml")
        task = next(
            (t for t, sets in PROMPTSOURCE.items() for s in sets.split() if dataset.startswith(s)), None
        )
        if task is None or not name.endswith("templates.yaml"):
            continue
        shown = subprocess.run(
            ["git", "-C", str(repo), "show", f"HEAD:{name}"], capture_output=True, check=True
        )
        for template in yaml.load(shown.stdout.decode(), Loader)["templates"].values():
            if template["metadata"].get("original_task"):
                text = _filled(template["jinja"], texts, questions, rng)
                if len(text.split()) > 4:
                    found.append(Example("promptsource", "en", task, text))
    return found


def _filled(jinja: str, texts: list[str], questions: list[str], rng: random.Random) -> str:
    def fill(hole: "re.Match[str]") -> str:
        inside = hole.group(1)
        literal = _LITERAL.match(inside)
        if literal:
            return literal.group(1)
        if "choices" in inside:
            return rng.choice(("A, B, C", "yes or no", "left, right", "red, green or blue"))
        return rng.choice(questions if "question" in inside.lower() else texts)

    return _HOLE.sub(fill, re.sub(r"\{%.*?%\}", "", jinja, flags=re.S).split("|||")[0]).strip()


# -- for measuring alone ---------------------------------------------------------------------------------


def squad(data: Path) -> list[Example]:
    """Every tenth question of SQuAD 2 with its passage (CC-BY-SA-4.0): `qa`."""
    with gzip.open(data / "other" / "squad2_half_dev.json.gz", "rt", encoding="utf-8") as file:
        articles = json.load(file)["data"]
    asked = [(p["context"], q["question"]) for a in articles for p in a["paragraphs"] for q in p["qas"]]
    return [
        Example("squad", "en", "qa", f"{context}\n\n{question}" if n % 2 else f"{question}\n\n{context}")
        for n, (context, question) in enumerate(asked[::10])
    ]


def mbpp(data: Path) -> list[Example]:
    """MBPP's prompts as RouterBench has them: `code`."""
    rows = lines(data / "routing" / "routerbench_mbpp.jsonl.gz")
    return [Example("mbpp", "en", "code", row["prompt"].strip("[]'\"")) for row in rows]


_SUMS = ("mathematics", "algebra", "physics", "statistics", "formal_logic", "econometrics", "logical")


def mmlu(data: Path) -> list[Example]:
    """Every thirtieth prompt of MMLU as RouteLLM has it: `qa`, where sums are done `reason` too."""
    rows = list(lines(data / "routing" / "routellm_mmlu.jsonl.gz"))[::30]
    return [
        Example(
            "mmlu",
            "en",
            "reason|qa" if any(s in row["domain"] for s in _SUMS) else "qa|reason",
            row["prompt"],
        )
        for row in rows
    ]


BELLE = {
    "open qa": "qa",
    "closed qa": "qa",
    "classification": "classify|sentiment",
    "extract": "extract",
    "summarization": "summarise",
    "rewrite": "rewrite",
    "generation": "creative",
    "brainstorming": "creative|qa",
    "code": "code",
    "math": "reason",
    "translation": "translate",
}


def belle(repo: Path) -> list[Example]:
    """BELLE's Chinese evaluation set; tasks follow from its classes, ideas count as `creative` or `qa`."""
    shown = subprocess.run(
        ["git", "-C", str(repo), "show", "HEAD:eval/eval_set.json"], capture_output=True, check=True
    )
    rows = [json.loads(line) for line in shown.stdout.decode().split("\n") if line.strip()]
    return [Example("belle", "zh", BELLE[r["class"]], r["question"]) for r in rows if r["class"] in BELLE]


def vicuna_ja(repo: Path) -> list[Example]:
    """The Japanese Vicuna questions of Kyoto University (Apache-2.0); tasks as Vicuna's."""
    shown = subprocess.run(
        ["git", "-C", str(repo), "show", "HEAD:data/jp_bench/question.jsonl"], capture_output=True, check=True
    )
    rows = [json.loads(line) for line in shown.stdout.decode().split("\n") if line.strip()]
    return [Example("vicuna_ja", "ja", VICUNA.get(r["category"], "qa"), r["turns"][0]) for r in rows]


LOGICKOR = {
    "추론(Reasoning)": "reason|qa",
    "수학(Math)": "reason",
    "글쓰기(Writing)": "creative",
    "코딩(Coding)": "code|qa",
    "이해(Understanding)": "qa|summarise|creative",
    "문법(Grammar)": "qa|rewrite|classify",
}


def logickor(repo: Path) -> list[Example]:
    """LogicKor's 42 Korean first questions; tasks follow loosely from its categories."""
    shown = subprocess.run(
        ["git", "-C", str(repo), "show", "HEAD:questions.jsonl"], capture_output=True, check=True
    )
    rows = [json.loads(line) for line in shown.stdout.decode().split("\n") if line.strip()]
    return [Example("logickor", "ko", LOGICKOR[r["category"]], r["questions"][0]) for r in rows]


BIPIA = {
    "Information Retrieval": "qa",
    "Content Creation": "creative|qa",
    "Learning and Tutoring": "qa|reason",
    "Language Translation": "translate",
    "Programming Help": "code",
    "Sentiment Analysis": "sentiment",
    "Task Automation": "code|qa|agent_step",
    "Business Intelligence": "qa|summarise|reason",
    "Research Assistance": "qa|summarise|code",
    "Conversational Agent": "qa|chat",
}


def bipia(data: Path) -> list[Example]:
    """The everyday requests among BIPIA's injected instructions (MIT); tasks follow loosely from their kinds.

    Of its two lists of translations the one that speaks of "your response" is left out.
    """
    found: list[Example] = []
    for part in ("train", "test"):
        kinds = json.loads((data / "other" / "bipia" / f"text_attack_{part}.json").read_text("utf-8"))
        found += [
            Example("bipia", "en", BIPIA[kind], text)
            for kind, texts in kinds.items()
            for text in texts
            if kind in BIPIA and not (kind == "Language Translation" and part == "test")
        ]
    return found


def held_out(data: Path) -> list[Example]:
    """Prompts of this project that were written after the others, in other words, and never trained on."""
    rows = (HERE / "held_out.txt").read_text("utf-8").splitlines()
    split = [row.split("|", 2) for row in rows if row]
    return [Example("held_out", language, task, text) for language, task, text in split]


def rules_tests(data: Path) -> list[Example]:
    """The prompts by which the rules were written (`tests/unit/brain/classify/test_classify.py`)."""
    tree = ast.parse((HERE.parents[1] / "tests" / "unit" / "test_classify.py").read_text("utf-8"))
    found = next(
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and node.targets[0].id == "PROMPTS"
    )
    return [Example("rules_tests", row[4], row[1], row[0]) for row in ast.literal_eval(found)]


Load = Callable[[Path], list[Example]]
TRAINED: dict[str, Load] = {
    "self_instruct_seed": self_instruct_seed,
    "self_instruct_user": self_instruct_user,
    "vicuna": vicuna,
    "mt_bench": mt_bench,
    "ifeval": ifeval,
    "gsm8k": gsm8k,
    "bfcl": bfcl,
    "clinc150": clinc150,
    "banking77": banking77,
    "cast": cast,
}
MEASURED: dict[str, Load] = {
    "squad": squad,
    "mbpp": mbpp,
    "mmlu": mmlu,
    "bipia": bipia,
    "held_out": held_out,
    "rules_tests": rules_tests,
}
REPOSITORIES: dict[str, tuple[str, Load]] = {
    "promptsource": ("bigscience-workshop/promptsource", promptsource),
    "belle": ("LianjiaTech/BELLE", belle),
    "logickor": ("instructkr/LogicKor", logickor),
    "vicuna_ja": ("ku-nlp/ja-vicuna-qa-benchmark", vicuna_ja),
}
