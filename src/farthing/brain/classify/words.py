# ruff: noqa: RUF001  (words of many languages, in their own letters)
"""The words by which a request is recognised, as tables.

The tables built here are keyed by the UTF-8 bytes of a word in lower case. Words that mean different things
in different settings have low weights: none of them decides anything alone.
"""

from collections.abc import Iterator
from typing import NamedTuple


class Mark(NamedTuple):
    """What one word indicates."""

    task: str = ""
    weight: int = 0
    domain: str = ""
    domain_weight: int = 0
    kind: str = ""
    """`question`, `hard` (asks for thought), `greeting`, `support` (a customer's concern), `personal`,
    `effect` (asks that something be done in the world)."""


STOP_WORDS = {
    "en": "the of and to in is that it for on with as was are be this by have from or had not but what all "
    "were we when your can said there an each she do their if will other about out many then them these so "
    "some her would make him has two more no could my than been who its now did get may how where which why "
    "does should i you he they me at a please",
    "de": "der die das und ist nicht ein eine einen einem einer zu den mit von auf für im dem sich auch als "
    "aus bei nach wie was wir ich sie er es kann werden wird sind oder aber noch bitte mein meine meinen "
    "zusammen zwei drei diese dieser dieses wurde "
    "wann warum welche zum zur folgenden folgende ins satz kein über dass hat haben ihr uns mir gibt",
    "fr": "le la les des une un est et je vous nous pour dans qui que sur pas au aux du de en ce cette ces "
    "mon ma mes comment pourquoi quel quelle avec plus par il elle sont être avoir fait où quand peut "
    "suivant suivante texte merci combien l d qu n s",
    "es": "el la los las una un es y que qué cómo como por para con está del de en mi me se su lo al puedo "
    "cuál cuándo dónde quién más pero porque este esta esto son hay muy sobre siguiente gracias necesito "
    "quiero tiene ser o",
    "it": "il lo la gli le un una è e che di in per con non sono del della dei delle nel nella come cosa "
    "quando perché qual quale mi mio mia ho ha questo questa più anche ma si posso devo grazie seguente "
    "dove chi quanto l testo al i",
    "pt": "o a os as um uma é e que de em para por com não do da dos das no na nos nas como qual quando "
    "onde meu minha eu você se mais mas são ser está isso este esta texto obrigado preciso seguinte posso "
    "quanto por ao à",
    "nl": "de het een en van ik is dat niet op te in zijn met voor er aan hoe wat waar waarom wanneer mijn "
    "mij je jij u wij we deze dit die om ook maar naar bij kan kunt kun wordt worden hebben heeft heb uit "
    "over als alstublieft volgende",
    "pl": "i w na z do nie się jest że to jak co czy dla mój moje moja po od za o ma są tym tej ten ta mi "
    "dlaczego kiedy gdzie który która jakie jaki proszę może można przez oraz lub ale mnie następujący",
    "sv": "och att det är en ett som på av för med jag du inte den till har om de i vi kan hur vad när var "
    "varför min mitt mina från eller men så ska skulle följande denna detta snälla tack vilken",
    "da": "og at det er en et som på af for med jeg du ikke den til har om de i vi kan hvordan hvad hvornår "
    "hvor hvorfor min mit mine fra eller men så skal følgende denne dette tak hvilken",
    "tr": "ve bir bu için ne mı mi mu mü nasıl neden nerede zaman da de ile çok daha ben sen biz siz benim "
    "olan olarak var yok gibi kadar lütfen aşağıdaki hangi kim şu değil ama veya mıyım",
    "ru": "и в не на я что с по это как а к но из у за вы так же от для мой моя мне почему когда где какой "
    "какая пожалуйста можно ли есть или если текст следующий",
    "bg": "и в не на че с по това как а за от да се е са ли какво защо кога къде моля мога моя ми как",
    "sr": "и у не на да је се што за са као али од како зашто када где молим могу моја ми ли су",
}

# task -> weight -> words
TASK_WORDS: dict[str, dict[int, str]] = {
    "translate": {
        4: "translate translation traduis traduire traduisez traduction übersetze übersetzen übersetz "
        "übersetzung traduce traducir traduzca traduzir traduza traducción traduci tradurre traduzione "
        "tradução vertaal vertalen przetłumacz översätt çevir переведи переведите"
    },
    "summarise": {
        4: "tl summarise summarize summary summarization summarisation tldr résume résumer résumez résumé "
        "zusammenfassen zusammenfassung fasse resume resumir resuma resumen riassumi riassunto riassumere "
        "resumo samenvatten samenvatting vat streść podsumuj sammanfatta özetle özet резюмируй резюме "
        "обобщи перескажи",
        2: "gist condense recap digest",
    },
    "classify": {
        4: "classify classification categorise categorize klassifiziere klassifizieren clasifica clasificar "
        "classifie classer classifica classificare classifique classificar classificeer sklasyfikuj "
        "klassificera sınıflandır классифицируй",
        3: "category categories label kategorie catégorie categoría categoria kategori",
    },
    "sentiment": {4: "sentiment polarity stimmung sentimiento sentimento sentyment", 1: "positive negative"},
    "tag": {4: "hashtags hashtag tags", 3: "tag keywords schlagwörter etiquetas"},
    "extract": {
        4: "extract extrahiere extrahieren extrais extraire extrae extraer estrai estrarre extraia extrair "
        "extraheer wyodrębnij extrahera çıkar извлеки",
        1: "entities json fields",
    },
    "rewrite": {
        4: "rewrite paraphrase rephrase proofread reword umformulieren formuliere reformule reformuler "
        "reescribe reescribir riscrivi riscrivere reescreva reescrever herschrijf przepisz omformulera "
        "перепиши",
        3: "grammar polish shorten simplify corrige corriger korrigiere corrija",
        1: "tone formal wording",
    },
    "code": {
        4: "refactor stacktrace traceback javascript typescript pytest segfault leetcode",
        3: "python java sql regex kotlin golang php html css bash numpy pandas django react kubernetes "
        "dockerfile postgres postgresql mysql programm",
        2: "code coding function compile compiler debug bug script api algorithm unittest funktion función "
        "fonction funzione função funkcję código кода функцию код функция",
        1: "exception class method array string loop test tests implement error rust swift c database query",
    },
    "creative": {
        4: "poem haiku limerick sonnet lyrics gedicht poème poema poesia gedichtje wiersz dikt şiir "
        "стихотворение слоган",
        3: "story slogan tagline screenplay geschichte histoire cuento storia história verhaal brainstorm "
        "birthday",
        1: "write schreibe schreib écris escribe scrivi escreva schrijf napisz skriv yaz напиши essay blog "
        "letter email imagine dialogue song title character",
    },
    "reason": {
        4: "prove solve proof theorem equation integral derivative berechne beweise calcule calcula calcola "
        "solve résous resuelve risolvi oblicz",
        3: "calculate compute probability deduce puzzle riddle",
        1: "logic times total percent average remaining altogether twice half each",
    },
}

# domain -> weight -> words
DOMAIN_WORDS: dict[str, dict[int, str]] = {
    "compliance": {
        3: "gdpr hipaa compliance compliant sox pci dsgvo rgpd ccpa kyc aml soc2 datenschutz sanctions "
        "conformité cumplimiento conformità",
        2: "regulation regulations regulatory regulator auditors datenschutzbeauftragten",
        1: "audit policy retention controls privacy",
    },
    "pricing": {
        3: "pricing discount discounts surcharge rabatt remise descuento sconto desconto rebate",
        2: "price prices preis preise prix precio precios prezzo prezzi preço preços prijs prijzen cena pris "
        "fiyat цена цены tariff quotation",
        1: "cost costs quote plan plans fee tier subscription kostet coûte cuesta costa kost kosztuje custa",
    },
    "legal": {
        3: "lawsuit attorney lawyer lawyers liability indemnification indemnify plaintiff defendant tort "
        "litigation jurisdiction statute anwalt rechtsanwalt vertrag kündigungsfrist avocat contrat abogado "
        "contrato demanda avvocato contratto advogado advocaat umowa umowie umowy prawnik advokat avtal "
        "avukat sözleşme договор договора адвокат юрист haftung mietvertrag copyright infringement nda",
        2: "legal legally law sue sued court clause contract contracts landlord tenant eviction custody "
        "divorce gericht tribunal loi ley legge recht klage suing",
        1: "agreement rights terms dispute breach judge",
    },
    "medical": {
        3: "symptom symptoms diagnosis diagnose dosage ibuprofen paracetamol antibiotic antibiotics insulin "
        "diabetes vaccine chemotherapy pregnancy pregnant tumour tumor symptome arzt médecin symptômes "
        "síntomas médico medico sintomi sintomas huisarts lekarz läkare doktor врач симптомы ibuprofène "
        "ibuprofeno dosis medication medications biopsy hypertension aspirin amoxicillin ilaç lek leki",
        2: "doctor patient patients pain headache fever disease medicine therapy surgery blood fieber "
        "douleur fiebre dolor febbre dolore febre kopfschmerzen schmerzen koorts gorączka feber ateş",
        1: "infection health hospital treatment chest nurse dose clinical",
    },
    "financial": {
        3: "mortgage portfolio etf dividend bonds investment investments hypothek hypothèque hipoteca mutuo "
        "hypotheek kredyt brokerage 401k pension refinance ipo",
        2: "loan invest investing stocks tax taxes interest aktien steuer impôts impuestos tasse impostos "
        "belasting podatek skatt vergi ипотека налог inversión investir credit",
        1: "stock bank fund money savings budget shares rate income",
    },
    "support": {
        3: "refund refunds",
        2: "delivery shipping password invoice reset rückerstattung lieferung passwort remboursement "
        "livraison reembolso envío contraseña rimborso spedizione entrega senha levering wachtwoord "
        "zwrot hasło lösenord leverans iade şifre kargo возврат пароль",
        1: "account order card top-up payment cancel subscription login konto compte cuenta conto conta "
        "rekening bestellung commande pedido ordine encomenda zamówienie beställning sipariş return "
        "transfer pin opening hours warranty",
    },
    "software": {
        3: "kubernetes dockerfile postgresql typescript javascript stacktrace traceback pytest",
        2: "python java sql regex api compile debug server linux git docker refactor",
        1: "code function bug script database deploy",
    },
}

KIND_WORDS: dict[str, dict[str, str]] = {
    "question": {
        "en": "what how why when where which who does explain describe tell define list",
        "de": "wie wann warum welche erkläre erklär wo wer",
        "fr": "comment pourquoi quel quelle quand où combien explique qui",
        "es": "qué cómo cuál cuándo dónde quién explica cuánto",
        "it": "cosa quando perché qual quale dove spiega quanto",
        "pt": "qual quando onde explique quanto",
        "nl": "hoe wat waarom wanneer leg waar",
        "pl": "jak dlaczego kiedy gdzie który czy wyjaśnij",
        "sv": "hur varför när vad förklara",
        "tr": "nasıl neden nerede açıkla",
        "ru": "как почему когда где какой объясни",
    },
    "hard": {
        "en": "explain compare analyse analyze design evaluate justify critique architecture trade optimise "
        "optimize derive strategy why implications rigorous",
        "de": "erkläre vergleiche analysiere entwirf warum",
        "fr": "compare analyse pourquoi",
        "es": "compara analiza explica",
        "it": "confronta analizza spiega",
    },
    "greeting": {
        "en": "hi hello hey thanks thank bye morning",
        "de": "hallo danke tschüss guten",
        "fr": "bonjour merci salut bonsoir",
        "es": "hola gracias adiós buenos",
        "it": "ciao grazie buongiorno",
        "pt": "olá obrigado obrigada",
        "nl": "hoi dankjewel bedankt",
        "pl": "cześć dziękuję",
        "sv": "hej tack",
        "tr": "merhaba teşekkürler",
        "ru": "привет спасибо здравствуйте",
    },
    "personal": {"": "ssn passport iban birthdate nationality ethnicity religion"},
    "effect": {"": "unsubscribe wire"},
}

# Scripts without spaces, or with endings that hide the word: searched as substrings, and only in text of
# these scripts. (language, text, mark)
SUBSTRINGS: dict[str, tuple[tuple[str, Mark], ...]] = {
    "zh": (
        ("翻译", Mark(task="translate", weight=4)),
        ("总结", Mark(task="summarise", weight=4)),
        ("摘要", Mark(task="summarise", weight=4)),
        ("分类", Mark(task="classify", weight=4)),
        ("情感", Mark(task="sentiment", weight=5)),
        ("提取", Mark(task="extract", weight=4)),
        ("改写", Mark(task="rewrite", weight=4)),
        ("代码", Mark(task="code", weight=4)),
        ("函数", Mark(task="code", weight=3)),
        ("诗", Mark(task="creative", weight=3)),
        ("故事", Mark(task="creative", weight=3)),
        ("计算", Mark(task="reason", weight=3)),
        ("证明", Mark(task="reason", weight=3)),
        ("合同", Mark(domain="legal", domain_weight=3)),
        ("法律", Mark(domain="legal", domain_weight=3)),
        ("律师", Mark(domain="legal", domain_weight=3)),
        ("价格", Mark(domain="pricing", domain_weight=3)),
        ("折扣", Mark(domain="pricing", domain_weight=3)),
        ("合规", Mark(domain="compliance", domain_weight=3)),
        ("医生", Mark(domain="medical", domain_weight=3)),
        ("症状", Mark(domain="medical", domain_weight=3)),
        ("投资", Mark(domain="financial", domain_weight=3)),
        ("贷款", Mark(domain="financial", domain_weight=3)),
        ("退款", Mark(domain="support", domain_weight=3)),
        ("密码", Mark(domain="support", domain_weight=2)),
        ("什么", Mark(kind="question")),
        ("怎么", Mark(kind="question")),
        ("如何", Mark(kind="question")),
        ("为什么", Mark(kind="hard")),
        ("你好", Mark(kind="greeting")),
        ("谢谢", Mark(kind="greeting")),
    ),
    "ja": (
        ("翻訳", Mark(task="translate", weight=4)),
        ("要約", Mark(task="summarise", weight=4)),
        ("分類", Mark(task="classify", weight=4)),
        ("感情", Mark(task="sentiment", weight=5)),
        ("抽出", Mark(task="extract", weight=4)),
        ("書き直", Mark(task="rewrite", weight=4)),
        ("コード", Mark(task="code", weight=4)),
        ("関数", Mark(task="code", weight=3)),
        ("俳句", Mark(task="creative", weight=4)),
        ("物語", Mark(task="creative", weight=3)),
        ("計算", Mark(task="reason", weight=3)),
        ("契約", Mark(domain="legal", domain_weight=3)),
        ("弁護士", Mark(domain="legal", domain_weight=3)),
        ("価格", Mark(domain="pricing", domain_weight=3)),
        ("割引", Mark(domain="pricing", domain_weight=3)),
        ("医者", Mark(domain="medical", domain_weight=3)),
        ("症状", Mark(domain="medical", domain_weight=3)),
        ("返金", Mark(domain="support", domain_weight=3)),
        ("パスワード", Mark(domain="support", domain_weight=2)),
        ("ですか", Mark(kind="question")),
        ("ますか", Mark(kind="question")),
        ("なぜ", Mark(kind="hard")),
        ("こんにちは", Mark(kind="greeting")),
        ("ありがとう", Mark(kind="greeting")),
    ),
    "ko": (
        ("번역", Mark(task="translate", weight=4)),
        ("요약", Mark(task="summarise", weight=4)),
        ("분류", Mark(task="classify", weight=4)),
        ("감정", Mark(task="sentiment", weight=5)),
        ("추출", Mark(task="extract", weight=4)),
        ("코드", Mark(task="code", weight=4)),
        ("계약", Mark(domain="legal", domain_weight=3)),
        ("변호사", Mark(domain="legal", domain_weight=3)),
        ("가격", Mark(domain="pricing", domain_weight=3)),
        ("증상", Mark(domain="medical", domain_weight=3)),
        ("환불", Mark(domain="support", domain_weight=3)),
        ("비밀번호", Mark(domain="support", domain_weight=2)),
        ("무엇", Mark(kind="question")),
        ("어떻게", Mark(kind="question")),
        ("왜", Mark(kind="hard")),
        ("안녕", Mark(kind="greeting")),
    ),
    "ar": (
        ("ترجم", Mark(task="translate", weight=4)),
        ("لخص", Mark(task="summarise", weight=4)),
        ("صنف", Mark(task="classify", weight=4)),
        ("عقد", Mark(domain="legal", domain_weight=3)),
        ("محام", Mark(domain="legal", domain_weight=3)),
        ("سعر", Mark(domain="pricing", domain_weight=3)),
        ("طبيب", Mark(domain="medical", domain_weight=3)),
        ("أعراض", Mark(domain="medical", domain_weight=3)),
        ("كيف", Mark(kind="question")),
        ("ما هي", Mark(kind="question")),
        ("مرحبا", Mark(kind="greeting")),
    ),
    "hi": (
        ("अनुवाद", Mark(task="translate", weight=4)),
        ("सारांश", Mark(task="summarise", weight=4)),
        ("वकील", Mark(domain="legal", domain_weight=3)),
        ("अनुबंध", Mark(domain="legal", domain_weight=3)),
        ("कीमत", Mark(domain="pricing", domain_weight=3)),
        ("डॉक्टर", Mark(domain="medical", domain_weight=3)),
        ("लक्षण", Mark(domain="medical", domain_weight=3)),
        ("क्या", Mark(kind="question")),
        ("कैसे", Mark(kind="question")),
        ("नमस्ते", Mark(kind="greeting")),
    ),
}

# Client's and operators' words for a task -> ours. Compared in lower case with `_` and `-` as spaces.
TASK_SYNONYMS: dict[str, str] = {
    synonym: task
    for task, synonyms in {
        "qa": "qa,question answering,question,questions,q&a,ask,rag,knowledge,answer",
        "faq": "faq,faqs,support faq,help",
        "summarise": "summarise,summarize,summarisation,summarization,summary,tldr",
        "classify": "classify,classification,classifier,categorise,categorize,categorisation,"
        "categorization,text classification,intent,intent detection,routing",
        "tag": "tag,tags,tagging,tag prediction,labelling,labeling,keywords,keyword extraction",
        "sentiment": "sentiment,sentiment analysis,sentiment classification,polarity",
        "extract": "extract,extraction,entity extraction,ner,information extraction,parse,parsing",
        "translate": "translate,translation,machine translation",
        "rewrite": "rewrite,rewriting,paraphrase,rephrase,edit,editing,proofread,grammar",
        "code": "code,coding,programming,code generation,code completion,code review,sql,debug",
        "reason": "reason,reasoning,math,maths,mathematics,logic,planning,analysis",
        "creative": "creative,creative writing,writing,story,brainstorm,copywriting,generation",
        "chat": "chat,conversation,chitchat,small talk,dialogue,dialog",
        "agent_step": "agent step,agent,tool,tool use,tool call,function calling",
        "other": "other,unknown,misc,none",
    }.items()
    for synonym in synonyms.split(",")
}


def languages_by_word() -> dict[bytes, tuple[str, ...]]:
    """Stop words, question words and greetings -> the languages they are typical of."""
    languages: dict[str, dict[str, None]] = {}
    by_language = [*STOP_WORDS.items(), *(pair for kind in KIND_WORDS.values() for pair in kind.items())]
    for language, words in by_language:
        for word in words.split() if language else ():
            languages.setdefault(word, {})[language] = None
    return {word.encode(): tuple(found) for word, found in languages.items()}


def marks_by_word() -> dict[bytes, Mark]:
    """Every word that indicates task, domain, risk or form. Of two weights the higher counts."""
    marks: dict[str, Mark] = {}
    for task, weight, word in _weighted(TASK_WORDS):
        mark = marks.get(word, Mark())
        if mark.weight < weight:
            marks[word] = mark._replace(task=task, weight=weight)
    for domain, weight, word in _weighted(DOMAIN_WORDS):
        mark = marks.get(word, Mark())
        if mark.domain_weight < weight:
            marks[word] = mark._replace(domain=domain, domain_weight=weight)
    for kind, by_language in KIND_WORDS.items():
        for word in " ".join(by_language.values()).split():
            mark = marks.get(word, Mark())
            if kind not in mark.kind:
                marks[word] = mark._replace(kind=f"{mark.kind} {kind}".strip())
    return {word.encode(): mark for word, mark in marks.items()}


def _weighted(table: dict[str, dict[int, str]]) -> Iterator[tuple[str, int, str]]:
    for name, by_weight in table.items():
        for weight, words in by_weight.items():
            for word in words.split():
                yield name, weight, word
