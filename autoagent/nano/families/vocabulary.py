"""What invented tools are about: things that are looked up, things that are done, and how people ask."""

from __future__ import annotations

LOOK_UP = (
    "Look up|Find|Get|Fetch|Tell|Give|Return|Show|Query|Check|Read out|Report|Retrieve|Search for|Ask for"
    "|Determine|Provide|Load|Display|Know"
).split("|")
ENTITIES = (
    "person|city|shop|product|country|order|room|book|customer|employee|company|team|player|ship|bus"
    "|parcel|museum|song|star|plant|server|invoice|hotel|station|movie|course|patient|member|device"
    "|article|poster|word|recipe|flight|bank|school|river|mountain|planet|car model|airport|restaurant"
    "|contract|project|warehouse|printer|user|account|stock|currency|chemical|animal|lake|bridge|event"
).split("|")
# What is looked up, and how else people ask for it; {v} is whose it is.
ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "phone number": ("How can I [call|reach] {v}?", "What number do I dial for {v}?"),
    "opening hours": ("When is {v} open?", "When can I go to {v}?", "Until when is {v} open?"),
    "price": ("How much does {v} cost?", "What do I pay for {v}?", "How expensive is {v}?"),
    "weather": ("Is it raining in {v}?", "How is it outside in {v}?", "Do I need an umbrella in {v}?"),
    "stock level": ("How many {v} do we have left?", "Is there enough {v}?"),
    "owner": ("Who owns {v}?", "Whose is {v}?", "Who does {v} belong to?"),
    "capital": ("Which city governs {v}?", "Where does the government of {v} sit?"),
    "population": ("How many people live in {v}?", "How big is {v} by inhabitants?"),
    "status": ("How is {v} doing?", "What is going on with {v}?", "Is {v} all right?"),
    "temperature": ("How [warm|cold|hot] is it in {v}?", "How many degrees is it in {v}?"),
    "address": ("Where does {v} live?", "Where is {v}?", "Where do I find {v}?"),
    "schedule": ("What are the plans of {v}?", "What is on for {v}?"),
    "balance": ("How much money [has|is left on] {v}?", "How much is on {v}?"),
    "score": ("How did {v} do?", "How many points has {v}?"),
    "rating": ("How good is {v}?", "Is {v} any good?", "How many stars has {v}?"),
    "author": ("Who wrote {v}?", "By whom is {v}?"),
    "colour": ("What does {v} look like?", "Is {v} red or blue?"),
    "menu": ("What can I eat at {v}?", "What do they serve at {v}?"),
    "delivery date": ("When will {v} arrive?", "When do I get {v}?"),
    "supplier": ("Who delivers {v}?", "Where do we buy {v}?"),
    "boss": ("Who is in charge of {v}?", "Who does {v} report to?", "Who leads {v}?"),
    "salary": ("How much does {v} earn?", "What is {v} paid?"),
    "email": ("How do I write to {v}?", "Where can I mail {v}?"),
    "version": ("How new is {v}?", "Which release is {v}?"),
    "location": ("Where is {v}?", "Where can {v} be found?"),
    "calorie count": ("How many calories has {v}?", "Is {v} fattening?"),
    "exchange rate": ("How much is one {v} worth?", "What do I get for one {v}?"),
    "traffic": ("Are the roads busy in {v}?", "Is there a jam in {v}?"),
    "birthday": ("When was {v} born?", "When do we celebrate {v}?"),
    "serial number": ("How is {v} numbered?", "Which number stands on {v}?"),
    "warranty": ("Until when is {v} covered?", "Can {v} still be repaired for free?"),
    "next train": ("When can I leave for {v}?", "How soon does it go to {v}?"),
    "queue length": ("How many are waiting at {v}?", "Is there a line at {v}?"),
    "meaning": ("What does {v} mean?", "Explain {v}", "Define {v}"),
    "rank": ("On which place is {v}?", "How high does {v} stand?"),
    "height": ("How [tall|high] is {v}?",),
    "age": ("How old is {v}?", "When did {v} begin?"),
    "language": ("What do they speak in {v}?", "How do people talk in {v}?"),
    "currency": ("What do people pay with in {v}?", "Which money is used in {v}?"),
    "director": ("Who made {v}?", "Who directed {v}?"),
    "length": ("How long is {v}?",),
    "weight": ("How heavy is {v}?", "What does {v} weigh?"),
    "deadline": ("Until when must {v} be done?", "When is {v} due?"),
    "members": ("Who belongs to {v}?", "Who is in {v}?"),
    "ingredients": ("What goes into {v}?", "What is {v} made of?"),
    "battery level": ("How full is {v}?", "Must {v} be charged?"),
    "departure time": ("When does {v} leave?", "When does {v} go?"),
    "platform": ("Where does {v} depart?", "From which track does {v} go?"),
    "room number": ("In which room is {v}?", "Where does {v} sleep?"),
    "synonym": ("What is another word for {v}?", "How else can I say {v}?"),
    "translation": ("How do you say {v}?", "What is {v} in the other language?"),
    "tax rate": ("How much tax is on {v}?", "What share of {v} goes to the state?"),
    "mayor": ("Who runs {v}?", "Who governs {v}?"),
    "speed": ("How fast is {v}?", "How quickly does {v} go?"),
    "postcode": ("Which code goes on letters to {v}?", "What do I write before {v} on a letter?"),
}
VERBS = (
    "Start|Stop|Open|Close|Lock|Unlock|Clean|Paint|Reset|Book|Cancel|Wash|Charge|Ring|Water|Feed|Dim"
    "|Light|Ship|Pack|Print|Scan|Mute|Play|Pause|Call|Invite|Notify|Order|Reserve|Archive|Approve"
    "|Reject|Restart|Update|Boil|Fold|Repair|Empty|Fill|Weigh|Measure|Inspect|Test|Deliver|Return|Rent"
    "|Sell|Register|Block|Release|Warm|Cool|Raise|Lower|Turn on|Turn off|Switch|Park|Move|Hide|Publish"
).split("|")
# How else people say a verb.
SAME_VERB: dict[str, str] = {
    "Start": "Launch|Begin|Turn on|Fire up|Get going",
    "Stop": "Halt|End|Turn off|Shut down|Kill",
    "Cancel": "Call off|Drop|Scrap",
    "Book": "Reserve|Get|Arrange",
    "Call": "Phone|Ring up|Dial",
    "Clean": "Tidy|Wipe|Scrub",
    "Notify": "Tell|Inform|Alert",
    "Order": "Buy|Get|Request",
    "Repair": "Fix|Mend",
    "Deliver": "Bring|Take|Hand over",
    "Update": "Refresh|Renew|Bring up to date",
    "Approve": "Accept|Sign off|Say yes to",
    "Reject": "Refuse|Turn down|Say no to",
    "Light": "Illuminate|Brighten",
    "Ship": "Send|Dispatch|Mail",
    "Lock": "Secure|Bolt",
    "Raise": "Lift|Pull up",
    "Lower": "Let down|Bring down",
    "Inspect": "Examine|Look over|Check",
    "Archive": "File away|Put away|Store",
    "Register": "Sign up|Enrol|Enter",
    "Mute": "Silence|Hush|Turn the sound off for",
    "Publish": "Release|Put out|Post",
    "Warm": "Heat|Heat up",
    "Feed": "Give food to",
    "Print": "Put on paper|Run off",
}
OBJECTS = (
    "door|lamp|pump|engine|window|gate|heater|alarm|robot|valve|fan|camera|screen|garden|car|boat"
    "|guest|job|song|parcel|table|room|meeting|machine|printer|plant|cat|dog|kettle|oven|curtain|bell"
    "|drone|lift|light|server|invoice|report|barrier|account|playlist|bike|tent|blind|fence|tank|battery"
    "|contract|letter|loan|seat|locker|tap|radio|mower|boiler|shelf|backup|website|payment|order"
).split("|")
