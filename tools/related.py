"""Everyday words that go together, for the ranking: a goal that has one fits a tool that has another."""

from __future__ import annotations

# One group a line. A word may be in several; inflections are found by their stem.
RELATED = """
accent voice british male female
account bank balance
activate enable power start
adapter converter plug electrical
add put new create insert save set
age born birthday birth
alarm wake ring snooze
application apply approve
assistant ai bot robot human machine computer
audio sound volume speaker loud quiet mute silent noise louder quieter
battery jump start dead
bill invoice due owe
book novel read author audiobook page story saga
boss work employer job company
buy purchase order shop shopping grocery store pay
bye goodbye farewell later
call phone dial cell
calorie nutrition healthy vitamin fat protein sugar diet
car vehicle tire tyre engine mechanic garage maintenance repair oil
card credit visa mastercard
change switch replace update edit
coffee espresso latte cappuccino
coin head tail flip toss
contact address number
convert conversion celsius fahrenheit
currency exchange dollar euro yen peso rate
damage broken crack scratch bent bend
date day month today calendar tomorrow yesterday week weekend monday friday saturday sunday
decline refuse reject deny work
decrease lower reduce down quieter softer dim
dice die roll
email mail inbox message reply unread subject
event appointment meeting schedule calendar agenda
explain clarify rephrase elaborate detail
file folder document
flight plane fly airline airport ticket
fraud fraudulent suspicious stolen
game picture painting photo video show tv television series trailer watch art
gas fuel petrol tank gallon mpg mileage
happen going activity event concert
hello hi hey greet greeting
hobby interest fun enjoy spare
holiday vacation off pto leave
hotel room stay night hostel motel
increase raise up louder brighter
insurance coverage benefit policy plan
invite guest party meet
joke funny laugh
light lamp bulb bright brighten brightness dim dark
limit maximum
list item
location place where area near nearby nearest close local
lost missing lose stolen find misplace
luggage bag suitcase baggage
made creator built build invent developer company
maybe unsure undecided perhaps know
memory remember save
mind care matter prefer preference
money cash fund dollar pay amount cost price bank
movie film cinema theatre theater screening showtime showing
music song track tune album artist band singer playlist sing listen hear
name call
news headline happen article politics
no not wrong false incorrect negative disagree mistake
number sum add subtract multiply divide plus minus times root percent calculate math arithmetic equation
off deactivate disable unplug shut out
parcel package delivery deliver shipping arrive track
pause silence mute quiet shush stop
person people friend mother father mom dad sister brother wife boss colleague
pet dog cat animal
pin code password
play listen
plug socket outlet appliance device
podcast episode
post tweet twitter facebook instagram status social feed trending
question fact trivia knowledge encyclopedia
radio station fm channel
rate rating star score review opinion
recipe cook bake oven ingredient dish prepare
recommend suggest suggestion recommendation idea good best advice
remind reminder forget remember
remove delete cancel erase clear drop
rent rental hire
repeat again once
replace substitute instead swap
reservation reserve book booking table
restaurant eat food dinner lunch breakfast meal dish dine hungry pizza burger takeaway takeout
reward points miles
route direction way map navigate distance mile
salary income wage earn paycheck payday paid
setting default factory reset restore mode
slow slower fast faster speed
spend spent expense cost
spoil expire expiration expiry last fresh shelf safe bad fridge
stop cancel abort quit end shut
sync pair connect link bluetooth disconnect
table seat reservation
tax taxes irs w2
taxi cab uber lyft ride pick
text sms message
thank thanks welcome gratitude appreciate praise compliment
time clock hour oclock minute pm noon
todo task chore
traffic jam congestion road highway drive accident
train bus rail subway metro departure depart ticket
transfer send
translate language spanish french german english
travel trip vacation abroad visit tourist country sight
unit convert inch foot feet cup meter kilometer pound ounce kilogram measure
vaccine vaccination shot
vacuum clean floor dust roomba hoover robot dirty
visa passport embassy
voice speak talk say word
wait busy crowded line queue
weather forecast rain rainfall snow snowfall sunny storm wind cloud temperature degree warm cold hot freezing
mean meaning definition define dictionary spell
yes right true correct agree affirm affirmative sure
zone timezone eastern pacific
""".strip().splitlines()
