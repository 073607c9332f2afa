"""The vocabulary of a school of dental assisting, and names of people."""

# Word lists read and change more easily as text.
# ruff: noqa: SIM905

ADJECTIVES = """
accurate aseptic brief calm careful clean clinical complete complex correct detailed digital documented early
effective efficient ergonomic essential external fragile frequent gentle healthy hidden immediate incomplete initial
internal late local lower mandibular maxillary mild modern moderate narrow occasional ordinary panoramic patient
permanent posterior practical precise preventive primary protective rapid recent reliable routine safe second severe
sharp simple smooth sterile stable sudden supervised temporary thorough typical uncommon upper urgent visible weekly
""".split()

NOUNS = """
abscess alginate amalgam anatomy anxiety appointment apron assistant autoclave bitewing bracket bridge calculus canine
caries cavity cement chart checklist clamp clinic composite consent crown cuspid dam demonstration denture dentist
diagnosis dressing enamel endodontist equipment examination explorer extraction fluoride forceps gauze gingiva glove
handpiece history hygiene image implant impression incisor infection instrument jaw laboratory lesson ligature margin
mask matrix medication mirror molar mouthwash nerve note observation occlusion operatory orthodontist patient
periodontium plaque polish posture premolar preparation prescription procedure prophylaxis protocol pulp quiz
radiograph record recovery referral restoration retainer retraction rinse root rotation sealant sensor shade shield
signature sink specimen sterilizer student suction surface suture swelling syringe technique tissue tooth tray
treatment ulcer unit veneer visit volunteer wedge worksheet x-ray
""".split()

VERBS = """
adjusts affects assists checks cleans compares completes confirms contradicts covers delays demands describes
documents explains follows guides identifies improves indicates interrupts isolates limits measures observes obscures
outlines precedes prepares prevents protects questions reduces removes repeats replaces reports requires restores
reviews reveals schedules secures separates simplifies stabilizes sterilizes supports tests transfers updates
""".split()

ADVERBS = """
accurately again almost always barely carefully clearly correctly directly eventually exactly finally firmly gently
gradually immediately independently never nearly often once partly poorly promptly properly quickly quietly rarely
regularly routinely safely seldom slightly slowly sometimes soon steadily thoroughly usually visibly
""".split()

PREPOSITIONS = """
above across after against along among around before behind below beneath beside between beyond despite during
inside near through throughout under until within without
""".split()

FIRST_NAMES = """
Abigail Adaeze Ahmed Aiko Alejandra Amara Anders Anjali Antonio Asha Beatriz Benjamin Bianca Bogdan Brigid Camila
Carlos Chiara Chloe Dae Dalia Daniel Darius David Deepika Diego Dmitri Elena Eli Emeka Emily Emma Ethan Eva Fatima
Felipe Fiona Gabriel Giulia Grace Hana Hannah Hassan Helena Hugo Ibrahim Imani Ines Isaac Ivan Jamal James Jasmine
Javier Jin Joanna Jonas Jorge Joseph Julia Kai Kamala Karim Katarina Keisha Kofi Kwame Lakshmi Lars Layla Leila Leon
Liam Lin Lucas Lucia Magnus Malik Marcus Maria Marta Mateo Maya Mei Miguel Mira Mohammed Nadia Naomi Natalia Niamh
Nikolai Nora Olga Oliver Omar Oscar Paolo Parisa Patrick Paula Pedro Petra Priya Quinn Rachel Rafael Rania Ravi
Rebecca Rosa Ruth Samir Samuel Sanjay Sara Sebastian Selma Sofia Soren Stefan Sunita Tamar Tariq Thandiwe Thomas
Tomas Uma Valentina Victor Vikram Wanjiru Xavier Yara Yasmin Yuki Yusuf Zainab Zoe Zuri
""".split()

LAST_NAMES = """
Abbott Acosta Adeyemi Aguilar Ahmadi Akhtar Alvarez Andersen Anderson Aoki Bailey Bajwa Baptiste Barros Becker Bell
Bennett Bianchi Boateng Brooks Brown Campbell Carter Castillo Chandra Chang Chavez Chen Christensen Clark Cohen Cole
Collins Cooper Cruz Dahl Das Davies Delgado Diallo Diaz Dubois Edwards Eriksen Esposito Evans Farouk Fernandez Fischer
Fletcher Foster Fraser Garcia Ghosh Gomez Gonzalez Gray Greene Gupta Gutierrez Haddad Hall Hansen Harris Hayashi
Henderson Hernandez Hill Hoang Hoffmann Hughes Hussain Ibarra Ito Jackson Jain Jansen Jensen Jimenez Johnson Jones
Kamau Kapoor Kaur Keita Kelly Khan Kim King Klein Kowalski Kumar Larsen Lee Lewis Li Lindqvist Lopez Mahlangu Martin
Martinez Mbeki Mehta Mendoza Mensah Meyer Miller Mitchell Moore Morales Moreau Morgan Murphy Mwangi Nakamura Nelson
Nguyen Nielsen Novak Nowak Obi Okafor Okonkwo Olsen Ortega Osei Owusu Park Patel Pereira Perez Petrov Pham Phillips
Popescu Price Ramirez Rao Reed Reyes Ricci Rivera Roberts Robinson Rodriguez Romero Rossi Ruiz Ryan Sanchez Santos
Sato Schmidt Schneider Scott Sharma Silva Singh Smith Soto Sousa Suzuki Tanaka Taylor Thompson Torres Tran Turner
Usman Vargas Vasquez Volkov Walker Wang Ward Watanabe Watson Weber White Williams Wilson Wood Wright Yamamoto Yilmaz
Young Zhang Zhou Zimmermann
""".split()
